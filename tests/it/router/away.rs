//! The catalog or the whole database server is away: refusals come fast, and nothing is half-made

use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tenantry_testkit::{Answer, Client, Dev, World, unique};

use crate::wait;

/// Not how fast it should be, but what would be a hang.
const HANG: Duration = Duration::from_secs(10);

async fn refused_fast(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<serde_json::Value>,
) {
    let began = Instant::now();
    let mut request = client.request(method, path);
    if let Some(body) = &body {
        request = request.json(body);
    }
    let answer = request.send().await;
    let took = began.elapsed();
    assert_eq!(answer.status, 503, "{answer}");
    if path != "/readyz" {
        answer.any_problem();
    }
    assert!(took < HANG, "{took:?} for {answer}");
}

/// Tried: with `Gate::Away` never given, the known tenant is answered `CATALOG_UNAVAILABLE`.
#[tokio::test]
async fn known_tenants_are_served_without_the_catalog() {
    let dev = Dev::start();
    let (acme, cold) = (dev.tenant("acme").await, dev.tenant("cold").await);
    acme.admin.get("/users").await.expect(200);
    let path = format!("/setup/tenants/{}/disconnect", cold.id);
    dev.operator().post(&path, json!({})).await;
    let pg = dev.pg();
    let before = World::of(&pg).await;

    let catalog = &pg.catalog;
    pg.run(
        "postgres",
        &format!("ALTER DATABASE {catalog} ALLOW_CONNECTIONS false"),
    )
    .await;
    pg.run("postgres", &format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{catalog}'")).await;

    for _ in 0..20 {
        acme.admin.get("/me").await.expect(200);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    acme.admin
        .sign_in(&acme.email, tenantry_testkit::ADMIN_PASSWORD)
        .await;
    dev.base().get("/healthz").await.expect(200);
    refused_fast(&dev.base(), Method::GET, "/readyz", None).await;
    refused_fast(&dev.operator(), Method::GET, "/setup/tenants", None).await;
    let slug = unique("half");
    let body = json!({ "name": "Half", "slug": slug });
    refused_fast(
        &dev.operator(),
        Method::POST,
        "/setup/tenants",
        Some(body.clone()),
    )
    .await;
    refused_fast(&dev.at("who-knows"), Method::GET, "/me", None).await;

    pg.run(
        "postgres",
        &format!("ALTER DATABASE {catalog} ALLOW_CONNECTIONS true"),
    )
    .await;
    wait::until(Duration::from_secs(30), "ready again", async || {
        dev.base().get("/readyz").await.status == 200
    })
    .await;
    assert_eq!(before.difference(&World::of(&pg).await), [""; 0]);
    dev.operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    acme.admin.get("/me").await.expect(200);
    cold.admin.get("/me").await.expect(200);
}

/// The server and all its backends, frozen and thawed.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn of(dev: &Dev) -> Self {
        let postmaster = dev.postmaster().expect("a running Postgres");
        let signal = |pid: i32| {
            let pid = Pid::from_raw(pid).expect("a process id");
            kill_process(pid, Signal::STOP).expect("frozen");
            pid
        };
        // First the one that makes the others.
        let mut all = vec![signal(postmaster)];
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(status) = std::fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            // pid (name) state ppid …
            let parent = status
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1));
            if parent == Some(postmaster.to_string().as_str()) {
                let pid = entry
                    .file_name()
                    .to_string_lossy()
                    .parse()
                    .expect("a process id");
                all.push(signal(pid));
            }
        }
        Self(all)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in self.0.iter().rev() {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// Tried: without the bound on opening a connection, a request takes 35 seconds.
#[tokio::test]
async fn a_server_that_hangs_makes_no_request_hang() {
    let dev = Dev::start();
    let (acme, cold) = (dev.tenant("acme").await, dev.tenant("cold").await);
    acme.admin.get("/users").await.expect(200);
    let path = format!("/setup/tenants/{}/disconnect", cold.id);
    dev.operator().post(&path, json!({})).await;
    let pg = dev.pg();
    let before = World::of(&pg).await;
    let body =
        json!({ "name": "Half", "slug": unique("half"), "admin": { "email": "a@b.example" } });

    let frozen = Frozen::of(&dev);
    dev.base().get("/healthz").await.expect(200);
    refused_fast(&dev.base(), Method::GET, "/readyz", None).await;
    refused_fast(&cold.admin, Method::GET, "/me", None).await;
    refused_fast(&acme.admin, Method::GET, "/me", None).await;
    refused_fast(&dev.operator(), Method::GET, "/setup/tenants", None).await;
    refused_fast(
        &dev.operator(),
        Method::POST,
        "/setup/tenants",
        Some(body.clone()),
    )
    .await;
    dev.base().get("/healthz").await.expect(200);
    drop(frozen);

    wait::until(Duration::from_secs(60), "ready again", async || {
        dev.base().get("/readyz").await.status == 200
    })
    .await;
    for tenant in [&acme, &cold] {
        wait::until(Duration::from_secs(60), "served again", async || {
            tenant.admin.get("/me").await.status == 200
        })
        .await;
    }
    // A creation whose beginning reached the server after all is carried through or undone.
    wait::until(
        Duration::from_secs(60),
        "no operation is open",
        async || {
            let open =
                "SELECT count(*)::text FROM operations WHERE status NOT IN ('done', 'failed')";
            dev.pg().texts(&pg.catalog, open).await == ["0"]
        },
    )
    .await;
    let slug = body["slug"].as_str().expect("a slug");
    let shown = dev.operator().get(&format!("/setup/tenants/{slug}")).await;
    if shown.status == 404 {
        assert_eq!(before.difference(&World::of(&pg).await), [""; 0]);
    } else {
        assert_eq!(shown.expect(200)["status"], "active");
    }
    dev.tenant("after").await;
}

/// Tried: with a worker that takes no operation up, creations are open after 90 seconds.
#[tokio::test]
async fn a_creation_in_flight_when_the_server_dies_is_never_half_made() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let operator = dev.operator();
    let slugs: Vec<String> = (0..6).map(|_| unique("cut")).collect();
    let creations = slugs.iter().map(|slug| {
        let body = json!({ "name": "Cut", "slug": slug, "admin": { "email": "a@b.example" } });
        operator
            .request(Method::POST, "/setup/tenants")
            .json(&body)
            .try_send()
    });
    let cut = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let frozen = Frozen::of(&dev);
        tokio::time::sleep(Duration::from_secs(8)).await;
        drop(frozen);
    };
    let began = Instant::now();
    let (answers, ()) = futures::join!(futures::future::join_all(creations), cut);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    for answer in answers.iter().flatten() {
        assert!(matches!(answer.status, 201 | 202 | 503), "{answer}");
    }
    wait::until(
        Duration::from_secs(90),
        "every creation ended",
        async || {
            let open =
                "SELECT count(*)::text FROM operations WHERE status NOT IN ('done', 'failed')";
            dev.pg().texts(&dev.pg().catalog, open).await == ["0"]
        },
    )
    .await;
    for (slug, answer) in slugs.iter().zip(&answers) {
        let shown = operator.get(&format!("/setup/tenants/{slug}")).await;
        assert_made_or_not(&dev, slug, &shown, answer.as_ref()).await;
    }
    acme.admin.get("/me").await.expect(200);
}

async fn assert_made_or_not(dev: &Dev, slug: &str, shown: &Answer, answer: Option<&Answer>) {
    let database = format!("tenant_{}", slug.replace('-', "_"));
    if shown.status == 200 {
        assert_eq!(shown.json()["status"], "active", "{shown}");
        assert!(dev.pg().has_database(&database).await, "{slug}");
        dev.at(slug)
            .get("/me")
            .await
            .problem(401, "UNAUTHENTICATED");
    } else {
        shown.problem(404, "TENANT_NOT_FOUND");
        let said = answer.map_or(0, |answer| answer.status);
        assert_ne!(said, 201, "{slug} was promised");
        let traces = World::of(&dev.pg()).await.mentions(&database);
        assert_eq!(traces, [""; 0], "{slug}");
    }
}
