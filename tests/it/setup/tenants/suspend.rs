//! `POST /setup/tenants/{id or slug}/suspend` and `…/resume`

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;
use tenantry_testkit::{Client, Dev, Process, Serve, Tenant, World, program, refusal, shared};
use tenantry_types::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait;

const REASON: &str = "The invoice of <March> is \"not\" paid.";
const KNOWN: &str = "known-to-the-test-0123456789";

fn now() -> i64 {
    let now = Clock::system().now();
    now.timestamp_nanos_opt().expect("a moment")
}

/// A product on the router as a library, beside the program: `/moments` streams when each of its parts was
/// made, `/moments/{id}` tells when the answer was.
fn product(dev: &Dev, name: &str) -> (Process, SocketAddr) {
    let file = dev.folder().join(format!("{name}.address"));
    let mut command = program();
    command
        .current_dir(dev.folder())
        .args(["bench", "serve", "routed"])
        .arg(&file)
        .envs(dev.variables());
    let process = Process::spawn(command, dev.folder(), name);
    let address = listening(&file);
    (process, address)
}

fn listening(file: &Path) -> SocketAddr {
    let until = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let told = std::fs::read_to_string(file).ok();
        if let Some(address) = told.and_then(|text| text.parse().ok()) {
            return address;
        }
        assert!(std::time::Instant::now() < until, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// When the newest part that somebody was served was made.
#[derive(Default)]
struct Seen {
    newest: AtomicI64,
    served: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
}

impl Seen {
    fn note(&self, moment: i64) {
        self.newest.fetch_max(moment, Ordering::AcqRel);
        self.served.fetch_add(1, Ordering::AcqRel);
    }

    fn note_refusal(&self) {
        self.refused.fetch_add(1, Ordering::AcqRel);
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::Acquire)
    }
}

/// Reads a stream to its end.
async fn read_stream(address: SocketAddr, host: String, seen: Arc<Seen>) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let asked = format!("GET /moments HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.expect("sent");
    let (mut text, mut part) = (String::new(), [0_u8; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        text.push_str(std::str::from_utf8(&part[..read]).expect("text"));
        while let Some((line, rest)) = text.split_once('\n') {
            // Lengths of chunks are short, moments are not.
            if let Ok(moment @ 1_000_000_000_000_000_000..) = line.trim().parse() {
                seen.note(moment);
            }
            text = rest.to_owned();
        }
    }
}

/// Asks one time after another; every answer but a refusal tells when it was made.
async fn ask_on(address: SocketAddr, host: String, seen: Arc<Seen>) {
    let client = Client::new(address, &host);
    while !seen.over.load(Ordering::Acquire) {
        let answer = client.get("/moments/7").await;
        match answer.status {
            200 => seen.note(answer.json()["moment"].as_i64().expect("a moment")),
            403 => seen.note_refusal(),
            // 500 is what the handler makes of a statement whose session was ended.
            500 | 503 => {}
            other => panic!("{other}: {answer}"),
        }
    }
}

/// `GET /users` of the program itself, whose answers do not tell: the moment before each was asked for.
async fn ask_the_program(client: Client, seen: Arc<Seen>) {
    while !seen.over.load(Ordering::Acquire) {
        let asked = now();
        let answer = client.get("/users").await;
        match answer.status {
            200 => seen.note(asked),
            403 => seen.note_refusal(),
            503 => {}
            other => panic!("{other}: {answer}"),
        }
    }
}

async fn suspend(operator: &Client, tenant: &str, reason: &str) -> Value {
    let path = format!("/setup/tenants/{tenant}/suspend");
    operator
        .post(&path, json!({ "reason": reason }))
        .await
        .expect(200)
}

async fn resume(operator: &Client, tenant: &str) -> Value {
    let path = format!("/setup/tenants/{tenant}/resume");
    operator.post(&path, json!({})).await.expect(200)
}

async fn notes(dev: &Dev, acme: &Tenant) {
    let made = "SET ROLE tenantry_owner;
        CREATE TABLE public.notes (id int PRIMARY KEY, body text NOT NULL);
        INSERT INTO public.notes SELECT n, 'note' FROM generate_series(1, 10) n";
    dev.pg().run(&acme.db_name, made).await;
}

/// The promise itself, on one clock: nothing that anybody received was made after the call had returned.
/// Tried with `drain` left out of the operation: a stream goes on for nearly three seconds.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_after_the_call_has_returned() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    notes(&dev, &acme).await;
    let products = [product(&dev, "one"), product(&dev, "two")];
    let host = format!("{}.localhost", acme.slug);
    let mut held = dev
        .pg()
        .connect(&acme.db_username, &acme.db_password, &acme.db_name)
        .await
        .expect("the product's own connection");

    let mut all: Vec<Arc<Seen>> = Vec::new();
    let mut running = Vec::new();
    let mut seen = || {
        let seen = Arc::new(Seen::default());
        all.push(Arc::clone(&seen));
        seen
    };
    for (_, address) in &products {
        for _ in 0..2 {
            running.push(tokio::spawn(ask_on(*address, host.clone(), seen())));
        }
        running.push(tokio::spawn(read_stream(*address, host.clone(), seen())));
    }
    for address in [dev.address(), serve.address()] {
        let client = Client::new(address, &host).bearer(acme.admin.token());
        running.push(tokio::spawn(ask_the_program(client, seen())));
    }
    wait::until(Duration::from_secs(30), "all are served", async || {
        all.iter().all(|seen| seen.served() > 3)
    })
    .await;

    let told = suspend(&dev.operator(), &acme.slug, REASON).await;
    let returned = now();
    assert_eq!(told["status"], "suspended");
    assert_eq!(told["statusReason"], REASON);
    // They go on asking, and each has been refused since.
    for address in products.iter().map(|(_, address)| *address) {
        let refused = Client::new(address, &host).get("/moments/7").await;
        let problem = refused.expect(403);
        assert_eq!(problem["code"], "TENANT_SUSPENDED");
        assert_eq!(
            problem["detail"],
            format!("The tenant is suspended: {REASON}")
        );
    }
    for address in [dev.address(), serve.address()] {
        let client = Client::new(address, &host).bearer(acme.admin.token());
        let problem = client.get("/users").await.problem(403, "TENANT_SUSPENDED");
        assert_eq!(
            problem["detail"],
            format!("The tenant is suspended: {REASON}")
        );
    }
    wait::until(Duration::from_secs(30), "all go on asking", async || {
        all.iter().filter(|seen| seen.refused() > 3).count() == all.len() - products.len()
    })
    .await;
    for seen in &all {
        seen.over.store(true, Ordering::Release);
    }
    // Streams end by themselves: this would wait for ever for one that goes on.
    let ended = futures::future::join_all(running);
    for ended in tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .expect("no stream goes on")
    {
        ended.expect("a client");
    }
    for (n, seen) in all.iter().enumerate() {
        let late = seen.newest.load(Ordering::Acquire) - returned;
        assert!(late <= 0, "client {n} was served {late} ns after the call");
    }
    assert!(held.ping().await.is_err(), "the held connection was ended");

    let told = resume(&dev.operator(), &acme.slug).await;
    assert_eq!(told["status"], "active");
    assert_eq!(told["statusReason"], Value::Null);
    for (_, address) in &products {
        let answer = Client::new(*address, &host).get("/moments/7").await;
        answer.expect(200);
    }
    for address in [dev.address(), serve.address()] {
        let client = Client::new(address, &host).bearer(acme.admin.token());
        client.get("/users").await.expect(200);
    }
    dev.pg()
        .connect(&acme.db_username, &acme.db_password, &acme.db_name)
        .await
        .expect("the same login with the same password");
}

/// Tried with a fence that leaves the product's login out: it is let in.
#[tokio::test]
async fn postgres_itself_lets_no_login_of_use_in_and_migrations_go_on() {
    let dev = shared();
    let acme = dev.tenant("fenced").await;
    let pg = dev.pg();
    suspend(&dev.operator(), &acme.slug, "Unpaid.").await;
    for login in acme.logins() {
        pg.set_password(&login, KNOWN).await;
        let connected = pg.connect(&login, KNOWN, &acme.db_name).await;
        if login.ends_with("_owner") {
            connected.expect("migrations run as the owner");
            continue;
        }
        let refused = connected.expect_err("fenced");
        assert_eq!(
            refusal(&refused).as_deref(),
            Some("28000"),
            "{login}: {refused}"
        );
    }
    // The password of the product's login was changed by this test only, and not by the suspension.
    resume(&dev.operator(), &acme.slug).await;
    pg.connect(&acme.db_username, KNOWN, &acme.db_name)
        .await
        .expect("let in again");
}

/// Tried with suspended tenants skipped as deleted ones are: `skipped` for this one.
#[tokio::test]
async fn migrate_all_takes_a_suspended_tenant_along() {
    let dev = Dev::start();
    let acme = dev.tenant("along").await;
    suspend(&dev.operator(), &acme.slug, "Unpaid.").await;
    let told = dev.cli(&["migrate-all", "--output", "json"]).expect(0);
    let told = told.json();
    let items = told
        .pointer("/result/items")
        .or_else(|| told.get("items"))
        .and_then(Value::as_array)
        .expect("items");
    let mine = items.iter().find(|item| item["slug"] == acme.slug);
    let mine = mine.expect("the tenant");
    assert_eq!(mine["outcome"], "current", "{mine}");
}

/// Tried with the new reason not told to the routers.
#[tokio::test]
async fn suspending_again_changes_the_reason_and_nothing_else() {
    let dev = shared();
    let acme = dev.tenant("again").await;
    let operator = dev.operator();
    let first = suspend(&operator, &acme.slug, "Unpaid.").await;
    // The router knows the first one.
    let problem = acme.admin.get("/me").await.problem(403, "TENANT_SUSPENDED");
    assert_eq!(problem["detail"], "The tenant is suspended: Unpaid.");
    let second = suspend(&operator, &acme.id, "Still unpaid.").await;
    assert_eq!(second["suspendedAt"], first["suspendedAt"]);
    let problem = acme.admin.get("/me").await.problem(403, "TENANT_SUSPENDED");
    assert_eq!(problem["detail"], "The tenant is suspended: Still unpaid.");
    let third = suspend(&operator, &acme.id, "Still unpaid.").await;
    assert_eq!(third["updatedAt"], second["updatedAt"], "nothing changed");
    resume(&operator, &acme.slug).await;
    let again = resume(&operator, &acme.slug).await;
    assert_eq!(again["status"], "active", "resuming twice is no mistake");
    acme.admin.get("/me").await.expect(200);
}

/// A person reads it on the page, as text. Tried with line ends taken for spaces: the reason is accepted.
#[tokio::test]
async fn the_reason_is_text_on_every_page() {
    let dev = shared();
    let acme = dev.tenant("page").await;
    suspend(&dev.operator(), &acme.slug, REASON).await;
    let page = dev
        .at(&acme.slug)
        .request(reqwest::Method::GET, "/sign-in")
        .header("accept", "text/html")
        .send()
        .await;
    assert_eq!(page.status, 403, "{page}");
    assert!(!page.text.contains("<March>"), "{page}");
    assert!(page.text.contains("March"), "{page}");
    let explained = dev.cli(&["tenants", "explain", &acme.slug]).expect(0);
    assert!(explained.stdout.contains(REASON), "{explained}");
    let bad = [
        json!({}),
        json!({ "reason": "" }),
        json!({ "reason": "x".repeat(501) }),
        json!({ "reason": "two\nlines" }),
        json!({ "reason": "turned \u{202e} around" }),
    ];
    for body in bad {
        let path = format!("/setup/tenants/{}/suspend", acme.id);
        let problem = dev.operator().post(&path, body).await;
        let problem = problem.problem(422, "VALIDATION_FAILED");
        assert_eq!(problem["errors"][0]["field"], "reason");
    }
}

/// Tried with `undelete` making every tenant active: it is served.
#[tokio::test]
async fn a_deletion_that_is_taken_back_brings_it_back_suspended() {
    let dev = shared();
    let acme = dev.tenant("both").await;
    let operator = dev.operator();
    let path = format!("/setup/tenants/{}", acme.id);
    suspend(&operator, &acme.id, "Unpaid.").await;
    operator.delete(&path).await.expect(200);
    for verb in ["suspend", "resume"] {
        let refused = operator
            .post(&format!("{path}/{verb}"), json!({ "reason": "x" }))
            .await;
        refused.problem(409, "WRONG_STATE");
    }
    let back = operator.post(&format!("{path}/undelete"), json!({})).await;
    let back = back.expect(200);
    assert_eq!(back["status"], "suspended");
    assert_eq!(back["statusReason"], "Unpaid.");
    acme.admin.get("/me").await.problem(403, "TENANT_SUSPENDED");
    let pg = dev.pg();
    pg.connect(&acme.db_username, &acme.db_password, &acme.db_name)
        .await
        .expect_err("still fenced");
    resume(&operator, &acme.id).await;
    acme.admin.get("/me").await.expect(200);
    pg.connect(&acme.db_username, &acme.db_password, &acme.db_name)
        .await
        .expect("let in");
}

/// Tried with a fence that leaves the product's login out.
#[tokio::test]
async fn a_suspension_outlives_the_program() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    suspend(&dev.operator(), &acme.slug, "Unpaid.").await;
    assert_eq!(dev.stop(), 0);
    dev.run_with_env(&[]);
    dev.at(&acme.slug)
        .get("/me")
        .await
        .problem(403, "TENANT_SUSPENDED");
    dev.pg()
        .connect(&acme.db_username, &acme.db_password, &acme.db_name)
        .await
        .expect_err("still fenced");
    resume(&dev.operator(), &acme.slug).await;
    dev.at(&acme.slug)
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
}

/// Two servers, four requests at once: the tenant is in one of its states, wholly, and says so. Tried with a
/// fence that leaves the product's login out.
#[tokio::test]
async fn of_requests_at_once_one_is_first_and_the_others_are_told() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let token = dev.operator_token();
    let (here, there) = (dev.operator(), serve.base().bearer(&token));
    let pg = dev.pg();
    for round in 0..4 {
        let acme = dev.tenant("acme").await;
        let path = format!("/setup/tenants/{}", acme.id);
        let (out, back) = (format!("{path}/suspend"), format!("{path}/resume"));
        let reason = json!({ "reason": "Unpaid." });
        let (a, b, c, d) = futures::join!(
            here.post(&out, reason.clone()),
            there.delete(&path),
            here.post(&back, json!({})),
            there.post(&out, reason.clone()),
        );
        for answer in [&a, &b, &c, &d] {
            match answer.status {
                200 => {}
                409 => {
                    let problem = answer.json();
                    match problem["code"].as_str() {
                        Some("OPERATION_IN_PROGRESS") => {
                            assert!(problem["operationId"].is_string(), "{answer}");
                        }
                        Some("WRONG_STATE") => {}
                        _ => panic!("round {round}: {answer}"),
                    }
                }
                _ => panic!("round {round}: {answer}"),
            }
        }
        wait::until(Duration::from_secs(40), "all ended", async || {
            let open =
                "SELECT count(*)::text FROM operations WHERE status NOT IN ('done', 'failed')";
            pg.texts(&pg.catalog, open).await == ["0"]
        })
        .await;
        let status = here.get(&path).await.expect(200)["status"].clone();
        let me = acme.admin.get("/me").await.status;
        let product = pg
            .connect(&acme.db_username, &acme.db_password, &acme.db_name)
            .await;
        match status.as_str() {
            Some("active") => assert!(me == 200 && product.is_ok(), "round {round}: {me}"),
            Some("suspended") => assert!(me == 403 && product.is_err(), "round {round}: {me}"),
            Some("deleting") => assert!(me == 404 && product.is_err(), "round {round}: {me}"),
            other => panic!("round {round}: {other:?}"),
        }
        let purged = here.delete(&format!("{path}?purge=true")).await;
        purged.expect(200);
    }
}

#[tokio::test]
async fn a_suspension_leaves_the_rest_of_the_world_as_it_is() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let pg = dev.pg();
    let before = World::of(&pg).await;
    suspend(&dev.operator(), &acme.slug, "Unpaid.").await;
    resume(&dev.operator(), &acme.slug).await;
    assert_eq!(before.difference(&World::of(&pg).await), [""; 0]);
}
