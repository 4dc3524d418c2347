//! A server that stops for a while (a paused machine, a long collection of garbage) and wakes up to
//! a world that went on without it

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use tenantry_testkit::{ADMIN_PASSWORD, Dev, Serve, World};

use crate::wait;

const OPEN: &str = "SELECT count(*)::text FROM operations WHERE status NOT IN ('done', 'failed')";

/// The program on hold, until this is dropped.
struct Frozen<'a>(&'a Dev);

impl<'a> Frozen<'a> {
    fn new(dev: &'a Dev) -> Self {
        dev.process().signal(Signal::STOP);
        Self(dev)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.process().signal(Signal::CONT);
    }
}

#[tokio::test]
async fn a_worker_that_wakes_up_late_changes_nothing() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let pg = dev.pg();
    dev.tenant("first").await;
    let before = World::of(&pg).await;
    let there = serve.base().bearer(&dev.operator_token());
    for (n, millis) in [5, 25, 60, 120, 250].into_iter().enumerate() {
        let slug = format!("late{n}");
        let body = json!({ "name": "Late", "slug": slug, "admin": { "email": "a@b.example", "password": ADMIN_PASSWORD } });
        let operator = dev.operator();
        let asked = {
            let request = operator.request(Method::POST, "/setup/tenants").json(&body);
            tokio::spawn(request.try_send())
        };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let frozen = Frozen::new(&dev);
        // Whatever was begun is taken over and brought to its end by the other server.
        let what = format!("frozen after {millis} ms: the other server finished it");
        wait::until(Duration::from_secs(40), &what, async || {
            pg.texts(&pg.catalog, OPEN).await == ["0"]
        })
        .await;
        drop(frozen);
        let answer = asked
            .await
            .expect("a request")
            .unwrap_or_else(|| panic!("no answer, frozen after {millis} ms"));
        assert_eq!(answer.status, 201, "{answer}");
        // Time for the one that woke up to do harm.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let shown = there
            .get(&format!("/setup/tenants/{slug}"))
            .await
            .expect(200);
        assert_eq!(shown["status"], "active", "frozen after {millis} ms");
        for host in [dev.at(&slug), serve.at(&slug)] {
            let (admin, _) = host.sign_in("a@b.example", ADMIN_PASSWORD).await;
            let users = admin.get("/users").await.expect(200);
            assert_eq!(users["items"].as_array().map(Vec::len), Some(1), "{users}");
        }
        let made = answer.json();
        let text = |field: &str| made[field].as_str().expect("a text");
        pg.connect(text("dbUsername"), text("dbPassword"), text("dbName"))
            .await
            .unwrap_or_else(|error| panic!("frozen after {millis} ms: {error}"));
        there
            .delete(&format!("/setup/tenants/{slug}?purge=true"))
            .await
            .expect(200);
        assert_eq!(
            before.difference(&World::of(&pg).await),
            [""; 0],
            "frozen after {millis} ms"
        );
    }
}

#[tokio::test]
async fn a_router_that_wakes_up_late_serves_nobody_who_is_gone() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let there = serve.base().bearer(&dev.operator_token());
    let (acme, kept) = (dev.tenant("acme").await, dev.tenant("kept").await);
    acme.admin.get("/users").await.expect(200);

    let frozen = Frozen::new(&dev);
    // Its lease ends, and it is not waited for any longer.
    let deleted = there.delete(&format!("/setup/tenants/{}", acme.slug)).await;
    deleted.expect(200);
    // Asked while it sleeps, so that this is the first thing it sees.
    let asked: Vec<_> = (0..4)
        .map(|n| {
            let path = if n % 2 == 0 { "/me" } else { "/users" };
            tokio::spawn(acme.admin.request(Method::GET, path).try_send())
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(frozen);
    let mut answered = 0;
    for answer in futures::future::join_all(asked).await {
        if let Some(answer) = answer.expect("a request") {
            assert!(matches!(answer.status, 404 | 503), "{answer}");
            assert!(!answer.text.contains(&acme.email), "{answer}");
            answered += 1;
        }
    }
    assert!(answered > 0, "it woke up and answered nobody");
    wait::until(Duration::from_secs(20), "it has caught up", async || {
        acme.admin.get("/me").await.status == 404 && kept.admin.get("/me").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_tenant_has_one_operation_at_a_time() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let token = dev.operator_token();
    let (here, there) = (dev.operator(), serve.base().bearer(&token));
    for round in 0..4 {
        let acme = dev.tenant("acme").await;
        let path = format!("/setup/tenants/{}", acme.id);
        let (purge, back) = (format!("{path}?purge=true"), format!("{path}/undelete"));
        let (a, b, c, d) = futures::join!(
            here.delete(&path),
            there.delete(&purge),
            here.post(&back, json!({})),
            there.delete(&path)
        );
        for answer in [&a, &b, &c, &d] {
            assert!(
                matches!(answer.status, 200 | 202 | 404 | 409),
                "round {round}: {answer}"
            );
            if answer.status == 409 {
                answer.any_problem();
            }
        }
        let pg = dev.pg();
        wait::until(Duration::from_secs(40), "all ended", async || {
            pg.texts(&pg.catalog, OPEN).await == ["0"]
        })
        .await;
        // It is in one of the states that there are, wholly.
        let shown = here.get(&path).await;
        match shown.status {
            404 => assert!(!pg.has_database(&acme.db_name).await, "round {round}"),
            _ => {
                let status = shown.expect(200)["status"].clone();
                let me = acme.admin.get("/me").await.status;
                match status.as_str() {
                    Some("active") => assert_eq!(me, 200, "round {round}"),
                    Some("deleting") => assert_eq!(me, 404, "round {round}"),
                    other => panic!("round {round}: {other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_tenant_that_is_being_made_cannot_be_deleted_meanwhile() {
    let dev = Dev::start_with(
        tenantry_testkit::Options::default()
            .env("TENANTRY_FAULT", "create/claim:before-effect=leave"),
    );
    // The worker walks away in the middle; until its lease ends the creation is open.
    let body = json!({ "name": "Acme", "slug": "acme" });
    let accepted = dev
        .operator()
        .request(Method::POST, "/setup/tenants")
        .header("prefer", "respond-async")
        .json(&body)
        .send()
        .await
        .expect(202);
    let operation = accepted["operationId"].clone();
    wait::until(Duration::from_secs(20), "it is in the middle", async || {
        let path = format!("/setup/operations/{}", operation.as_str().expect("an id"));
        let told = dev.operator().get(&path).await.expect(200);
        told["steps"]
            .as_array()
            .is_some_and(|steps| steps.iter().any(|step| step["name"] == "claim"))
    })
    .await;
    let refused = dev.operator().delete("/setup/tenants/acme").await;
    let problem = refused.problem(409, "OPERATION_IN_PROGRESS");
    assert_eq!(problem["operationId"], operation);
    dev.at("acme")
        .get("/me")
        .await
        .problem(503, "TENANT_NOT_READY");
}
