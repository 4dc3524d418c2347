//! `POST /setup/tenants/{id}/credentials`

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use tenantry_testkit::{Dev, Tenant, shared};

use crate::wait;

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {answer}"))
}

fn path(tenant: &Tenant) -> String {
    format!("/setup/tenants/{}/credentials", tenant.id)
}

async fn lets_in(dev: &Dev, tenant: &Tenant, login: &str, password: &str) -> bool {
    dev.pg()
        .connect(login, password, &tenant.db_name)
        .await
        .is_ok()
}

/// Tried with the former login retired at once: it is refused in its overlap.
#[tokio::test]
async fn another_login_is_told_once_and_the_present_one_is_good_for_the_overlap() {
    let dev = shared();
    let acme = dev.tenant("again").await;
    let issued = dev
        .operator()
        .post(&path(&acme), json!({ "overlap": "7d" }))
        .await
        .expect(201);
    assert_eq!(
        text(&issued, "dbUsername"),
        format!("{}_2", acme.db_username)
    );
    assert_eq!(text(&issued, "previousUsername"), acme.db_username);
    assert_eq!(text(&issued, "dbName"), acme.db_name);
    assert_ne!(text(&issued, "dbPassword"), acme.db_password);
    let (login, password) = (text(&issued, "dbUsername"), text(&issued, "dbPassword"));
    assert!(lets_in(dev, &acme, login, password).await, "the new one");
    assert!(
        lets_in(dev, &acme, &acme.db_username, &acme.db_password).await,
        "the present one"
    );

    // Who reads the operation is told nothing any more.
    let operation = format!("/setup/operations/{}", text(&issued, "operationId"));
    let operation = dev.operator().get(&operation).await.expect(200);
    assert_eq!(operation["kind"], "credentials");
    assert_eq!(operation["result"]["dbUsername"], login);
    assert!(operation["result"]["dbPassword"].is_null(), "{operation}");

    let busy = dev.operator().post(&path(&acme), json!({})).await;
    busy.problem(409, "OVERLAP_RUNNING");
    let bad = dev
        .operator()
        .post(&path(&acme), json!({ "overlap": "31d" }))
        .await;
    assert_eq!(bad.status, 422, "{bad}");

    // It leaked: all that is older is out when this answers.
    let now = json!({ "overlap": "0s", "endPrevious": true });
    let last = dev.operator().post(&path(&acme), now).await.expect(201);
    assert_eq!(
        text(&last, "dbUsername"),
        acme.db_username,
        "its name again"
    );
    assert!(!lets_in(dev, &acme, login, password).await);
    assert!(!lets_in(dev, &acme, &acme.db_username, &acme.db_password).await);
    let password = text(&last, "dbPassword");
    assert!(lets_in(dev, &acme, &acme.db_username, password).await);
    acme.admin.get("/me").await.expect(200);
}

/// Tried with the key not bound to the operation: the second request is refused, or issues another.
#[tokio::test]
async fn the_same_key_gives_the_same_login() {
    let dev = shared();
    let acme = dev.tenant("keyed").await;
    let ask = async |key: &str, body: Value| {
        let request = dev.operator().request(Method::POST, &path(&acme));
        request
            .header("idempotency-key", key)
            .json(&body)
            .send()
            .await
    };
    let key = format!("key-{}", acme.slug);
    let first = ask(&key, json!({ "overlap": "1h" })).await.expect(201);
    let again = ask(&key, json!({ "overlap": "60m" })).await.expect(201);
    assert_eq!(first, again);
    assert!(!text(&first, "dbPassword").is_empty());
    let other = ask(&key, json!({ "overlap": "2h" })).await;
    other.problem(409, "IDEMPOTENCY_KEY_REUSED");
}

/// Tried with `retire_when_due` not called by the sweeper: it is good for ever; and with `expel` left out of
/// the retirement: the session goes on.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_overlap_the_former_login_is_refused_and_its_sessions_are_ended_over_a_restart() {
    let mut dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let globex = dev.tenant("globex").await;
    for tenant in [&acme, &globex] {
        dev.operator()
            .post(&path(tenant), json!({ "overlap": "20s" }))
            .await
            .expect(201);
    }
    let mut held = dev
        .pg()
        .connect(&acme.db_username, &acme.db_password, &acme.db_name)
        .await
        .expect("in its overlap");
    wait::until(Duration::from_secs(60), "refused", async || {
        !lets_in(&dev, &acme, &acme.db_username, &acme.db_password).await
    })
    .await;
    assert!(held.ping().await.is_err(), "its session was ended");

    // One whose time is over while nothing runs.
    let later = dev.tenant("later").await;
    dev.operator()
        .post(&path(&later), json!({ "overlap": "2s" }))
        .await
        .expect(201);
    dev.restart();
    wait::until(Duration::from_secs(60), "refused", async || {
        !lets_in(&dev, &later, &later.db_username, &later.db_password).await
    })
    .await;
    let pg = dev.pg();
    wait::until(Duration::from_secs(30), "forgotten", async || {
        let left = "SELECT count(*)::text FROM logins WHERE role = 'user_old'";
        pg.texts(&pg.catalog, left).await == ["0"]
    })
    .await;
    later.admin.get("/me").await.expect(200);
}
