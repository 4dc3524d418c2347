//! The program killed (`kill -9`) at each step of each operation, before and after its effect and
//! after its record. After the next start the operation has its end, and nothing else is left.
//!
//! Needs the program built with `--features faults`; without it the variable is refused by name.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tenantry_lifecycle::{
    CREATE_STEPS, DELETE_STEPS, PURGE_STEPS, RESUME_STEPS, SUSPEND_STEPS, UNDELETE_STEPS,
};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Client, Dev, Tenant, World};

use crate::wait;

const POINTS: [&str; 3] = ["before-effect", "after-effect", "after-record"];

/// `kind/step:point=kill` for some of a kind's steps.
fn faults(kind: &str, steps: &[&str]) -> Vec<String> {
    let at = |step: &&str| POINTS.map(|point| format!("{kind}/{step}:{point}=kill"));
    steps.iter().flat_map(at).collect()
}

/// Starts the program so that it dies at the fault, sends the request, waits for both and starts the
/// program anew, which then has to bring the operation to an end.
async fn die_at(dev: &mut Dev, fault: &str, request: impl AsyncFnOnce(Client) -> Option<Answer>) {
    dev.run_with_env(&[("TENANTRY_FAULT", fault)]);
    let answer = request(dev.operator()).await;
    assert!(
        answer.is_none(),
        "{fault} did not strike: {}",
        answer.expect("an answer")
    );
    let ended = dev.wait_for_end(Duration::from_secs(30));
    assert!(!ended.success(), "{fault}");
    let pg = dev.pg();
    let open = pg.texts(&pg.catalog, OPEN).await;
    assert!(
        open != ["0"] || fault.contains("after-record"),
        "{fault}: nothing was begun"
    );
    // The dead worker's lease, and the dead router's, end now and not in some seconds. That they do
    // end by themselves is shown by `a_dead_workers_operation_is_taken_up_within_seconds`.
    pg.run(
        &pg.catalog,
        "UPDATE operations SET lease_until = now() WHERE lease_until > now();
         UPDATE routers SET lease_until = now() WHERE lease_until > now()",
    )
    .await;
    dev.run_with_env(&[]);
    all_ended(dev, fault).await;
}

const OPEN: &str = "SELECT count(*)::text FROM operations WHERE status NOT IN ('done', 'failed')";

async fn all_ended(dev: &Dev, fault: &str) {
    let pg = dev.pg();
    wait::until(
        Duration::from_secs(60),
        &format!("the operation has an end ({fault})"),
        async || pg.texts(&pg.catalog, OPEN).await == ["0"],
    )
    .await;
}

/// The world once the template is made that a start makes beside its other work.
async fn settled(dev: &Dev) -> World {
    let pg = dev.pg();
    wait::until(
        Duration::from_secs(60),
        "the template is made",
        async || {
            let ready = "SELECT count(*)::text FROM templates WHERE ready_at IS NOT NULL";
            let builders = "SELECT count(*)::text FROM pg_roles WHERE rolname LIKE 'tnt\\_build%'";
            pg.texts(&pg.catalog, ready).await == ["1"]
                && pg.texts("postgres", builders).await == ["0"]
        },
    )
    .await;
    World::of(&pg).await
}

/// Names and ids replaced, so that what one creation adds can be compared with another's.
fn shape(lines: &[String], slug: &str, id: &str) -> Vec<String> {
    let mut shape: Vec<String> = lines
        .iter()
        .map(|line| {
            line.replace(slug, "SLUG")
                .replace(&slug.replace('-', "_"), "SLUG")
                .replace(id, "TENANT")
        })
        // Settings name a database by its number, secrets belong to operations.
        .map(|line| match line.split_once(" in ") {
            Some((head, tail)) if line.starts_with("settings") => {
                let value = tail.split_once(": ").map_or("", |(_, value)| value);
                format!("{head} in DATABASE: {value}")
            }
            _ => line,
        })
        .map(|line| match line.rsplit_once(' ') {
            Some((_, name)) if line.starts_with("secrets") => {
                format!("secrets of operations: {name}")
            }
            _ => line,
        })
        .collect();
    shape.sort();
    shape
}

async fn create(operator: &Client, slug: &str) -> Option<Answer> {
    let body = json!({
        "name": "Crash", "slug": slug,
        "admin": { "email": "ann@crash.example", "password": ADMIN_PASSWORD },
    });
    let request = operator.request(Method::POST, "/setup/tenants");
    request
        .header("idempotency-key", slug)
        .json(&body)
        .try_send()
        .await
}

/// For each fault: killed, resumed, asked again with the same key, complete, purged, nothing left.
async fn creations_survive(steps: &[&str]) {
    let mut dev = Dev::start();
    let pg = dev.pg();
    // What a creation that nothing disturbed adds to the world.
    let before = settled(&dev).await;
    let made = create(&dev.operator(), "model")
        .await
        .expect("an answer")
        .expect(201);
    let id = made["tenantId"].as_str().expect("an id").to_owned();
    let model = shape(&before.difference(&World::of(&pg).await), "model", &id);
    assert!(model.len() >= 8, "{model:?}");
    dev.operator()
        .delete("/setup/tenants/model?purge=true")
        .await
        .expect(200);
    assert_eq!(
        before.difference(&World::of(&pg).await),
        [""; 0],
        "without any crash"
    );
    assert_eq!(dev.stop(), 0);

    for (n, fault) in faults("create", steps).iter().enumerate() {
        let slug = format!("crash{n}");
        die_at(&mut dev, fault, async |operator| {
            create(&operator, &slug).await
        })
        .await;
        let pg = dev.pg();
        let operator = dev.operator();
        // Either it is complete or it never was.
        let shown = operator.get(&format!("/setup/tenants/{slug}")).await;
        if shown.status == 404 {
            assert_eq!(
                before.difference(&World::of(&pg).await),
                [""; 0],
                "{fault}: undone"
            );
        } else {
            assert_eq!(shown.expect(200)["status"], "active", "{fault}");
        }
        // Whoever asked did not hear the answer and asks again.
        let made = create(&operator, &slug).await.expect("an answer");
        assert!(matches!(made.status, 200 | 201), "{fault}: {made}");
        let made = made.json();
        complete(&dev, fault, &slug, &made).await;
        let id = made["tenantId"].as_str().expect("an id");
        let added = shape(&before.difference(&World::of(&pg).await), &slug, id);
        assert_eq!(added, model, "{fault}");
        operator
            .delete(&format!("/setup/tenants/{slug}?purge=true"))
            .await
            .expect(200);
        assert_eq!(before.difference(&World::of(&pg).await), [""; 0], "{fault}");
        assert_eq!(dev.stop(), 0);
    }
}

async fn complete(dev: &Dev, fault: &str, slug: &str, made: &Value) {
    let text = |field: &str| {
        made[field]
            .as_str()
            .unwrap_or_else(|| panic!("{fault}: {field} in {made}"))
    };
    dev.pg()
        .connect(text("dbUsername"), text("dbPassword"), text("dbName"))
        .await
        .unwrap_or_else(|error| panic!("{fault}: {error}"));
    let (admin, _) = dev
        .at(slug)
        .sign_in("ann@crash.example", ADMIN_PASSWORD)
        .await;
    let users = admin.get("/users").await.expect(200);
    assert_eq!(
        users["items"].as_array().map(Vec::len),
        Some(1),
        "{fault}: {users}"
    );
    let roles = admin.get("/roles").await.expect(200);
    assert_eq!(
        roles["items"].as_array().map(Vec::len),
        Some(3),
        "{fault}: {roles}"
    );
}

#[tokio::test]
async fn a_creation_survives_a_kill_in_its_first_steps() {
    Box::pin(creations_survive(&CREATE_STEPS[..CREATE_STEPS.len() / 2])).await;
}

#[tokio::test]
async fn a_creation_survives_a_kill_in_its_last_steps() {
    Box::pin(creations_survive(&CREATE_STEPS[CREATE_STEPS.len() / 2..])).await;
}

#[tokio::test]
async fn a_purge_survives_a_kill_at_each_step() {
    let mut dev = Dev::start();
    let empty = settled(&dev).await;
    for fault in faults("purge", PURGE_STEPS) {
        let tenant = dev.tenant("crash").await;
        assert_eq!(dev.stop(), 0);
        let path = format!("/setup/tenants/{}?purge=true", tenant.slug);
        die_at(&mut dev, &fault, async |operator| {
            operator.request(Method::DELETE, &path).try_send().await
        })
        .await;
        assert_eq!(
            empty.difference(&World::of(&dev.pg()).await),
            [""; 0],
            "{fault}"
        );
        dev.operator()
            .get(&path.replace("?purge=true", ""))
            .await
            .problem(404, "TENANT_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_delete_and_an_undelete_survive_a_kill_at_each_step() {
    let mut dev = Dev::start();
    let tenant = dev.tenant("crash").await;
    let path = format!("/setup/tenants/{}", tenant.slug);
    let active = settled(&dev).await;
    assert_eq!(dev.stop(), 0);
    for (delete, undelete) in pairs() {
        die_at(&mut dev, &delete, async |operator| {
            operator.request(Method::DELETE, &path).try_send().await
        })
        .await;
        out_of_reach(&dev, &tenant, &delete).await;
        assert_eq!(dev.stop(), 0);
        die_at(&mut dev, &undelete, async |operator| {
            let request = operator.request(Method::POST, &format!("{path}/undelete"));
            request.json(&json!({})).try_send().await
        })
        .await;
        assert_eq!(
            active.difference(&World::of(&dev.pg()).await),
            [""; 0],
            "{undelete}"
        );
        tenant.admin.get("/me").await.expect(200);
        dev.pg()
            .connect(&tenant.db_username, &tenant.db_password, &tenant.db_name)
            .await
            .unwrap_or_else(|error| panic!("{undelete}: {error}"));
        assert_eq!(dev.stop(), 0);
    }
}

/// Killed at each point of a suspension, then of a resumption.
#[tokio::test]
async fn a_suspension_and_a_resumption_survive_a_kill_at_each_point() {
    let mut dev = Dev::start();
    settled(&dev).await;
    let tenant = dev.tenant("suspended").await;
    let active = World::of(&dev.pg()).await;
    assert_eq!(dev.stop(), 0);
    let path = format!("/setup/tenants/{}", tenant.id);
    let (out, back) = (
        faults("suspend", SUSPEND_STEPS),
        faults("resume", RESUME_STEPS),
    );
    for (out, back) in out.iter().zip(&back) {
        die_at(&mut dev, out, async |operator| {
            let request = operator.request(Method::POST, &format!("{path}/suspend"));
            request
                .json(&json!({ "reason": "Unpaid." }))
                .try_send()
                .await
        })
        .await;
        let refused = tenant.admin.get("/me").await;
        let problem = refused.problem(403, "TENANT_SUSPENDED");
        assert_eq!(
            problem["detail"], "The tenant is suspended: Unpaid.",
            "{out}"
        );
        let product = dev
            .pg()
            .connect(&tenant.db_username, &tenant.db_password, &tenant.db_name)
            .await;
        assert!(product.is_err(), "{out}: the product's login still works");
        assert_eq!(dev.stop(), 0);

        die_at(&mut dev, back, async |operator| {
            let request = operator.request(Method::POST, &format!("{path}/resume"));
            request.json(&json!({})).try_send().await
        })
        .await;
        tenant.admin.get("/me").await.expect(200);
        dev.pg()
            .connect(&tenant.db_username, &tenant.db_password, &tenant.db_name)
            .await
            .unwrap_or_else(|error| panic!("{back}: {error}"));
        let left = active.difference(&World::of(&dev.pg()).await);
        assert_eq!(left, [""; 0], "{back}");
        assert_eq!(dev.stop(), 0);
    }
}

/// Each fault of a delete with one of an undelete, until all were had.
fn pairs() -> Vec<(String, String)> {
    let (deletes, undeletes) = (
        faults("delete", DELETE_STEPS),
        faults("undelete", UNDELETE_STEPS),
    );
    let most = deletes.len().max(undeletes.len());
    (0..most)
        .map(|n| {
            (
                deletes[n % deletes.len()].clone(),
                undeletes[n % undeletes.len()].clone(),
            )
        })
        .collect()
}

async fn out_of_reach(dev: &Dev, tenant: &Tenant, fault: &str) {
    tenant
        .admin
        .get("/me")
        .await
        .problem(404, "TENANT_NOT_FOUND");
    let shown = dev
        .operator()
        .get(&format!("/setup/tenants/{}", tenant.id))
        .await
        .expect(200);
    assert_eq!(shown["status"], "deleting", "{fault}");
    let refused = dev
        .pg()
        .connect(&tenant.db_username, &tenant.db_password, &tenant.db_name)
        .await;
    assert!(refused.is_err(), "{fault}: the product's login still works");
}

#[tokio::test]
async fn a_dead_workers_operation_is_taken_up_within_seconds() {
    let mut dev = Dev::prepared(
        tenantry_testkit::Options::default()
            .env("TENANTRY_FAULT", "create/claim:after-effect=kill"),
    );
    dev.run();
    assert!(
        create(&dev.operator(), "acme").await.is_none(),
        "the fault did not strike"
    );
    dev.wait_for_end(Duration::from_secs(30));
    dev.run_with_env(&[]);
    let began = Instant::now();
    all_ended(&dev, "create/claim").await;
    let took = began.elapsed();
    // A lease is 10 s at most; the rest is this machine's. Nobody takes it up later than that by any other way: the
    // doctor and a restart are far off.
    assert!(took < Duration::from_secs(60), "{took:?}");
    let made = create(&dev.operator(), "acme").await.expect("an answer");
    assert!(matches!(made.status, 200 | 201), "{made}");
    complete(&dev, "create/claim", "acme", &made.json()).await;
}

#[tokio::test]
async fn another_server_takes_up_what_a_dead_one_left() {
    let mut dev = Dev::prepared(
        tenantry_testkit::Options::default()
            .env("TENANTRY_FAULT", "create/claim:before-effect=kill"),
    );
    dev.run();
    let serve = tenantry_testkit::Serve::join(&dev, "survivor", &[]);
    assert!(
        create(&dev.operator(), "acme").await.is_none(),
        "the fault did not strike"
    );
    dev.wait_for_end(Duration::from_secs(30));
    // Its Postgres outlived it, and so the other server goes on.
    let operator = serve.base().bearer(&dev.operator_token());
    wait::until(
        Duration::from_secs(30),
        "the other server finished it",
        async || operator.get("/setup/tenants/acme").await.json()["status"] == "active",
    )
    .await;
    serve
        .at("acme")
        .sign_in("ann@crash.example", ADMIN_PASSWORD)
        .await;
}

#[tokio::test]
async fn a_creation_that_fails_is_undone_and_says_so() {
    let mut dev = Dev::start();
    let before = settled(&dev).await;
    for step in CREATE_STEPS {
        for point in ["before-effect", "after-effect"] {
            let fault = format!("create/{step}:{point}=fail");
            assert_eq!(dev.stop(), 0);
            dev.run_with_env(&[("TENANTRY_FAULT", &fault)]);
            let refused = create(&dev.operator(), "acme").await.expect("an answer");
            assert!(refused.status >= 500, "{fault}: {refused}");
            refused.any_problem();
            all_ended(&dev, &fault).await;
            assert_eq!(
                before.difference(&World::of(&dev.pg()).await),
                [""; 0],
                "{fault}"
            );
            dev.operator()
                .get("/setup/tenants/acme")
                .await
                .problem(404, "TENANT_NOT_FOUND");
        }
    }
    // The name is free, and the same key may be used again: nothing came of the first try.
    assert_eq!(dev.stop(), 0);
    dev.run_with_env(&[]);
    create(&dev.operator(), "acme")
        .await
        .expect("an answer")
        .expect(201);
}

#[tokio::test]
async fn a_kill_while_the_template_is_made_leaves_no_debris() {
    let mut dev = Dev::start();
    settled(&dev).await;
    for (n, millis) in [0, 30, 80, 150, 300, 600].into_iter().enumerate() {
        // As on the first start of a new release: what is there is of another set of migrations.
        let pg = dev.pg();
        let aged =
            format!("UPDATE templates SET schema = 'older {n}' WHERE schema NOT LIKE 'older%'");
        pg.run(&pg.catalog, &aged).await;
        assert_eq!(dev.stop(), 0);
        dev.spawn();
        // Killed somewhere in it; where depends on the machine, and so the moments are spread.
        wait::until(Duration::from_secs(60), "it serves", async || {
            dev.base()
                .request(Method::GET, "/healthz")
                .try_send()
                .await
                .is_some()
        })
        .await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        dev.kill9();
        dev.run();
    }
    // A creation needs the template and so waits for it.
    dev.tenant("after").await;
    dev.cli(&["migrate-all"]).expect(0);
    let pg = dev.pg();
    let databases = "SELECT datname::text FROM pg_database WHERE datname LIKE 'tnt\\_%'";
    let template = pg.texts(&pg.catalog, "SELECT db_name FROM templates").await;
    assert_eq!(template.len(), 1, "{template:?}");
    assert_eq!(pg.texts("postgres", databases).await, template);
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tnt\\_%'";
    assert_eq!(pg.texts("postgres", roles).await, [""; 0]);
}
