//! `POST /setup/tenants/{id}/rotate-credentials`, `POST /setup/rotations`, and rotation by the calendar

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::Row;
use tenantry_testkit::{Client, Dev, Options, Serve, Tenant, refusal};
use tenantry_types::Secret;
use tenantry_vault::{Keyring, Place, Sealed};

use crate::wait;

/// The router's login of a tenant, as the catalog has it: its name and its password.
async fn router_login(dev: &Dev, tenant: &Tenant) -> (String, Secret) {
    let row = sqlx::query(
        "SELECT l.name, l.key_id, l.sealed, d.id FROM logins l JOIN databases d ON d.id = l.database_id
         WHERE l.role = 'router' AND d.tenant_id = $1::uuid",
    )
    .bind(&tenant.id)
    .fetch_one(&mut dev.pg().enter_catalog().await)
    .await
    .expect("a login");
    let keys = Keyring::parse(&Secret::new(dev.variables()["TENANTRY_KEYS"].as_str()));
    let sealed = Sealed {
        key_id: row.get("key_id"),
        bytes: row.get("sealed"),
    };
    let database: uuid::Uuid = row.get("id");
    let place = Place::login(database.into(), "router");
    let password = keys.expect("keys").route().open(&place, &sealed);
    (row.get("name"), password.expect("sealed for this place"))
}

/// Requests without an end, of which none may fail.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn of(clients: Vec<Client>) -> Self {
        let (stop, served) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let clients = clients.into_iter().map(|client| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.get("/users").await;
                    match answer.status {
                        200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                        _ => failed.push(answer.to_string()),
                    }
                }
                failed
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            served,
        }
    }

    /// Waits until some more were served, so that there was load at a moment.
    async fn more(&self) {
        let until = self.served.load(Ordering::Relaxed) + self.clients.len();
        wait::until(Duration::from_secs(30), "requests are served", async || {
            self.served.load(Ordering::Relaxed) > until
        })
        .await;
    }

    async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for client in self.clients {
            failed.extend(client.await.expect("no panic"));
        }
        failed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_notices_and_the_former_login_lets_nobody_in() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let (mut tenants, mut clients) = (Vec::new(), Vec::new());
    for word in ["acme", "globex"] {
        let tenant = dev.tenant(word).await;
        let there = serve.at(&tenant.slug).bearer(tenant.admin.token());
        clients.extend([
            tenant.admin.clone(),
            tenant.admin.clone(),
            there.clone(),
            there,
        ]);
        tenants.push(tenant);
    }
    let load = Load::of(clients);
    load.more().await;
    let mut former = Vec::new();
    for round in 0..3 {
        for tenant in &tenants {
            let (name, password) = router_login(&dev, tenant).await;
            let before = match round % 2 {
                0 => tenant.router(),
                _ => format!("{}_2", tenant.router()),
            };
            assert_eq!(name, before);
            let path = format!("/setup/tenants/{}/rotate-credentials", tenant.slug);
            let done = dev.operator().post(&path, json!({})).await.expect(200);
            assert_eq!(done["success"], true, "{done}");
            assert_eq!(done["tenantId"], tenant.id.as_str(), "{done}");
            // When it answers, the old one is out.
            let refused = dev
                .pg()
                .connect(&name, password.expose(), &tenant.db_name)
                .await;
            let refused = refusal(&refused.expect_err("locked out"));
            assert!(
                matches!(refused.as_deref(), Some("28000" | "28P01")),
                "{refused:?}"
            );
            former.push((tenant.db_name.clone(), name, password));
        }
        load.more().await;
    }
    assert_eq!(load.end().await, [""; 0]);
    for tenant in &tenants {
        let (name, password) = router_login(&dev, tenant).await;
        assert_eq!(name, format!("{}_2", tenant.router()));
        let mut conn = dev
            .pg()
            .connect(&name, password.expose(), &tenant.db_name)
            .await
            .expect("the new one lets in");
        let ddl = sqlx::query("CREATE TABLE x ()").execute(&mut conn).await;
        assert_eq!(refusal(&ddl.expect_err("no DDL")).as_deref(), Some("42501"));
        let sql = format!(
            "SELECT DISTINCT usename::text FROM pg_stat_activity
             WHERE datname = '{}' AND application_name LIKE 'tenantry/%'",
            tenant.db_name
        );
        assert_eq!(dev.pg().texts("postgres", &sql).await, [name]);
    }
    // Nor by a password of before, to its name that is used again or not.
    for (database, name, password) in former {
        assert!(
            dev.pg()
                .connect(&name, password.expose(), &database)
                .await
                .is_err()
        );
    }
    let pg = dev.pg();
    let audited = "SELECT count(*)::text FROM audit WHERE action = 'tenant.rotate_credentials' AND actor = 'dev'";
    assert_eq!(pg.texts(&pg.catalog, audited).await, ["6"]);
    let told = dev.metrics().await.sum(
        "tenantry_rotations_total",
        &[("login", "router"), ("outcome", "done")],
    );
    assert!((told - 6.0).abs() < f64::EPSILON, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_holds_a_connection_of_the_former_login_ends_first() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    acme.admin.get("/users").await.expect(200);
    // A request that waits for a table, and holds its connection meanwhile.
    let mut owner = dev.pg().enter(&acme.db_name).await;
    for sql in [
        "BEGIN",
        "LOCK TABLE tenantry.users IN ACCESS EXCLUSIVE MODE",
    ] {
        sqlx::query(sql).execute(&mut owner).await.expect("locked");
    }
    let admin = acme.admin.clone();
    let request = tokio::spawn(async move { admin.get("/users").await });
    let pg = dev.pg();
    let waiting = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
        acme.router()
    );
    wait::until(Duration::from_secs(10), "the request waits", async || {
        pg.texts("postgres", &waiting).await == ["1"]
    })
    .await;
    let (operator, path) = (
        dev.operator(),
        format!("/setup/tenants/{}/rotate-credentials", acme.id),
    );
    let mut rotation = tokio::spawn(async move { operator.post(&path, json!({})).await });
    let other = format!("{}_2", acme.router());
    wait::until(
        Duration::from_secs(60),
        "new requests have the other one",
        async || router_login(&dev, &acme).await.0 == other,
    )
    .await;
    // Nothing would hold it up but the request.
    let early = tokio::time::timeout(Duration::from_millis(1500), &mut rotation).await;
    assert!(early.is_err(), "it waits: {early:?}");
    sqlx::query("COMMIT")
        .execute(&mut owner)
        .await
        .expect("free");
    request.await.expect("no panic").expect(200);
    rotation.await.expect("no panic").expect(200);
    acme.admin.get("/users").await.expect(200);
}

/// Tried with the status not looked at: a login is made for a tenant that is deleted.
#[tokio::test]
async fn only_a_tenant_that_is_served_is_rotated() {
    let dev = tenantry_testkit::shared();
    let acme = dev.tenant("gone").await;
    let path = format!("/setup/tenants/{}", acme.id);
    dev.operator().delete(&path).await.expect(200);
    for call in ["rotate-credentials", "credentials"] {
        let answer = dev
            .operator()
            .post(&format!("{path}/{call}"), json!({}))
            .await;
        answer.problem(409, "WRONG_STATE");
    }
    let nobody = dev
        .operator()
        .post("/setup/tenants/nobody-here/rotate-credentials", json!({}))
        .await;
    nobody.problem(404, "TENANT_NOT_FOUND");
    let sql = format!(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE '{}%' AND rolcanlogin",
        acme.db_name.replace('_', "\\_")
    );
    assert_eq!(dev.pg().texts("postgres", &sql).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_rotated_by_the_command_line_and_a_broken_one_stops_nobody() {
    let dev = Dev::start();
    let (first, broken, last) = (
        dev.tenant("a-first").await,
        dev.tenant("b-broken").await,
        dev.tenant("c-last").await,
    );
    // The name that the rotation takes is somebody else's.
    let sql = format!("CREATE ROLE {}_router_2", broken.db_name);
    dev.pg().run("postgres", &sql).await;
    let all = [
        "rotate-credentials",
        "--all",
        "--jitter",
        "1s",
        "--output",
        "json",
    ];
    let told = dev.cli(&all).expect(1);
    let result = &told.json()["result"];
    assert_eq!(
        (&result["rotated"], &result["failed"]),
        (&2.into(), &1.into()),
        "{told}"
    );
    let items = result["items"].as_array().expect("items");
    let failed: Vec<_> = items
        .iter()
        .filter(|item| item["outcome"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{told}");
    assert_eq!(failed[0]["slug"], broken.slug.as_str(), "{told}");
    for (tenant, name) in [
        (&first, format!("{}_2", first.router())),
        (&broken, broken.router()),
        (&last, format!("{}_2", last.router())),
    ] {
        assert_eq!(router_login(&dev, tenant).await.0, name);
        tenant.admin.get("/me").await.expect(200);
    }
    let one = dev.cli(&["rotate-credentials", &first.slug, "--output", "json"]);
    assert_eq!(one.expect(0).json()["success"], true);
    assert_eq!(router_login(&dev, &first).await.0, first.router());
}

/// Tried with the lock of the kind left out of its beginning: two runs at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_rotates_everybody_in_one_process_at_a_time() {
    let env = [
        ("TENANTRY_ROTATION_EVERY", "2s"),
        ("TENANTRY_ROTATION_JITTER", "300ms"),
    ];
    let options = env
        .iter()
        .fold(Options::default(), |options, (name, value)| {
            options.env(name, value)
        });
    let dev = Dev::start_with(options);
    let _serve = Serve::join(&dev, "second", &env);
    let tenants = [dev.tenant("acme").await, dev.tenant("globex").await];
    let pg = dev.pg();
    let runs =
        "SELECT count(*)::text FROM operations WHERE kind = 'rotate-all' AND status = 'done'";
    wait::until(Duration::from_secs(60), "three runs", async || {
        let runs = pg.texts(&pg.catalog, runs).await;
        runs[0].parse::<u32>().is_ok_and(|runs| runs >= 3)
    })
    .await;
    // By their first steps: a run's row bears the time at which it began to wait for its turn.
    let overlapping = "WITH runs AS (SELECT o.id, coalesce(o.finished_at, 'infinity') AS finished,
             (SELECT min(at) FROM operation_steps WHERE operation_id = o.id) AS started
             FROM operations o WHERE o.kind = 'rotate-all')
         SELECT count(*)::text FROM runs a JOIN runs b ON a.id < b.id
         WHERE a.started < b.finished AND b.started < a.finished";
    assert_eq!(pg.texts(&pg.catalog, overlapping).await, ["0"]);
    for tenant in &tenants {
        let sql = format!(
            "SELECT count(*)::text FROM operations
             WHERE kind = 'rotate' AND status = 'done' AND tenant_id = '{}'",
            tenant.id
        );
        let done = pg.texts(&pg.catalog, &sql).await[0].parse::<u32>();
        assert!(done.is_ok_and(|done| done >= 1), "{}", tenant.slug);
        tenant
            .admin
            .request(Method::GET, "/me")
            .send()
            .await
            .expect(200);
    }
}
