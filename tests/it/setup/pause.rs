//! `/setup/pause`, `tenantry pause` and `tenantry resume`: all background work of two processes.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_testkit::{Dev, Pg, Serve};

use crate::wait;

const NOW: &str = "SELECT extract(epoch FROM clock_timestamp())::text";

/// Waits until every process has been through its loops a few times: it has told of itself that often.
async fn a_few_rounds(pg: &Pg, processes: usize) {
    let now = pg.texts(&pg.catalog, NOW).await[0].clone();
    // A lease is ten seconds long, and renewed twice a second.
    let told = format!(
        "SELECT count(*)::text FROM workers
         WHERE lease_until > to_timestamp({now}) + interval '16 seconds'"
    );
    wait::until(Duration::from_secs(60), "all have told again", async || {
        pg.texts(&pg.catalog, &told).await == [processes.to_string()]
    })
    .await;
}

/// All that an operation leaves: when one began, or went on.
async fn operations(pg: &Pg) -> Vec<String> {
    let all = "SELECT format('%s %s %s %s', id, kind, status, steps) FROM operations ORDER BY 1";
    pg.texts(&pg.catalog, all).await
}

/// Seen to fail: with a gate that is always open the creation went on to its end.
#[tokio::test]
async fn nothing_begins_and_nothing_goes_on_in_any_process_until_it_is_resumed() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let gone = dev.tenant("gone").await;
    dev.operator()
        .delete(&format!("/setup/tenants/{}", gone.id))
        .await
        .expect(200);
    // A creation that nobody drives any more after its first steps.
    assert_eq!(dev.stop(), 0);
    dev.run_with_env(&[("TENANTRY_FAULT", "create/claim:after-record=leave")]);
    let pg = dev.pg();
    let asked = dev
        .operator()
        .request(reqwest::Method::POST, "/setup/tenants")
        .header("prefer", "respond-async")
        .json(&json!({ "name": "Half", "slug": "half" }));
    let asked = tokio::spawn(asked.try_send());
    let half = "SELECT format('%s %s', kind, status) FROM operations WHERE kind = 'create' AND status = 'running'
                AND steps >= 3";
    wait::until(Duration::from_secs(30), "half a creation", async || {
        !pg.texts(&pg.catalog, half).await.is_empty()
    })
    .await;

    let told = dev
        .cli(&["pause", "--reason", "A restore.", "--output", "json"])
        .expect(0)
        .json();
    assert_eq!(told["everywhere"], true, "{told}");
    assert_eq!(told["pause"]["reason"], "A restore.", "{told}");
    assert_eq!(told["replicas"].as_array().map(Vec::len), Some(1), "{told}");
    dev.kill9();
    asked.abort();

    // It survives a restart, and who joins learns of it.
    dev.run_with_env(&[]);
    let serve = Serve::join(&dev, "second", &[]);
    pg.run(
        &pg.catalog,
        "UPDATE operations SET lease_until = now() WHERE status = 'running';
         UPDATE tenants SET purge_at = now() WHERE status = 'deleting';
         DELETE FROM workers WHERE heard IS NULL",
    )
    .await;
    let before = operations(&pg).await;
    a_few_rounds(&pg, 2).await;
    assert_eq!(operations(&pg).await, before);

    // Whoever would begin something reads why not, wherever they ask; nobody is served less.
    let operator = dev.operator();
    let there = serve.base().bearer(&dev.operator_token());
    for client in [&operator, &there] {
        let body = json!({ "name": "New", "slug": "new" });
        let refused = client.post("/setup/tenants", body).await;
        let problem = refused.problem(503, "PAUSED");
        let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("A restore."), "{detail}");
        let rotate = format!("/setup/tenants/{}/rotate-credentials", acme.id);
        client
            .post(&rotate, Value::Null)
            .await
            .problem(503, "PAUSED");
        let health = client.get("/setup/health").await.expect(200);
        assert_eq!(health["pause"]["reason"], "A restore.", "{health}");
    }
    dev.at(&acme.slug)
        .bearer(acme.admin.token())
        .get("/me")
        .await
        .expect(200);
    let shown = dev.cli(&["status"]).expect(1);
    assert!(shown.stdout.contains("PAUSED"), "{shown}");
    for metrics in [dev.metrics().await, serve.metrics().await] {
        assert!((metrics.sum("tenantry_background_work_paused", &[]) - 1.0).abs() < 0.1);
    }
    // What stops harm is done.
    let suspend = format!("/setup/tenants/{}/suspend", acme.id);
    let suspended = operator.post(&suspend, json!({ "reason": "breach" })).await;
    assert_eq!(suspended.expect(200)["status"], "suspended");
    let disconnect = format!("/setup/tenants/{}/disconnect", acme.id);
    operator.post(&disconnect, Value::Null).await.expect(200);
    // A second pause takes nothing from the first.
    let again = operator
        .post("/setup/pause", json!({ "reason": "Another." }))
        .await
        .expect(200);
    assert_eq!(again["pause"]["reason"], "A restore.", "{again}");

    let told = dev.cli(&["resume"]).expect(0);
    assert!(told.stdout.contains("goes on"), "{told}");
    wait::until(Duration::from_secs(60), "all is made up for", async || {
        let open = "SELECT count(*)::text FROM operations WHERE status NOT IN ('done', 'failed')";
        let tenants = "SELECT format('%s %s', slug, status) FROM tenants ORDER BY 1";
        pg.texts(&pg.catalog, open).await == ["0"]
            && pg.texts(&pg.catalog, tenants).await
                == [format!("{} suspended", acme.slug), "half active".to_owned()]
    })
    .await;
    let lines = operator
        .get("/setup/audit?limit=100")
        .await
        .expect(200)
        .to_string();
    assert!(lines.contains("background.pause") && lines.contains("background.resume"));
    assert_eq!(
        operator.get("/setup/pause").await.expect(200)["paused"],
        false
    );
    let looked = dev.cli(&["doctor"]);
    assert_eq!(looked.code, 0, "{looked}");
}

/// Seen to fail: with every pause taken as in force, the command ended with 0.
#[tokio::test]
async fn a_process_that_does_not_answer_is_named() {
    let dev = Dev::start();
    let mut serve = Serve::join(&dev, "second", &[]);
    let pg = dev.pg();
    a_few_rounds(&pg, 2).await;
    serve.process().signal(rustix::process::Signal::STOP);
    // For longer than it is waited.
    pg.run(
        &pg.catalog,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN NEW.lease_until := clock_timestamp() + interval ''1 hour''; RETURN NEW; END';
         CREATE TRIGGER keep BEFORE UPDATE ON workers FOR EACH ROW EXECUTE FUNCTION keep();
         UPDATE workers SET name = name",
    )
    .await;
    let told = dev.cli(&["pause", "--reason", "A restore."]);
    serve.process().signal(rustix::process::Signal::CONT);
    let told = told.expect(1);
    assert!(told.stdout.contains("is paused"), "{told}");
    assert!(told.stderr.contains("has not heard of it yet"), "{told}");
    dev.cli(&["pause", "--reason", "A restore."]).expect(0);
    dev.cli(&["resume"]).expect(0);
}
