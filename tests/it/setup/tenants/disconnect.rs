//! `POST /setup/tenants/{id}/disconnect`

use serde_json::json;
use tenantry_testkit::{Dev, Serve, shared};

#[tokio::test]
async fn the_routers_connections_are_ended_and_come_back_on_demand() {
    let dev = shared();
    let acme = dev.tenant("cut").await;
    let other = dev.tenant("stay").await;
    let sessions = async |login: String| {
        let sql = format!("SELECT pid::text FROM pg_stat_activity WHERE usename = '{login}'");
        dev.pg().texts("postgres", &sql).await
    };
    acme.admin.get("/me").await.expect(200);
    other.admin.get("/me").await.expect(200);
    let before = sessions(acme.router()).await;
    assert_eq!(before.len(), 1, "a connection is kept");
    assert_eq!(sessions(other.router()).await.len(), 1);

    let path = format!("/setup/tenants/{}/disconnect", acme.id);
    let answer = dev.operator().post(&path, json!({})).await;
    assert!(matches!(answer.status, 200 | 202 | 204), "{answer}");
    assert_eq!(
        sessions(acme.router()).await,
        [""; 0],
        "gone when it answers"
    );
    assert_eq!(sessions(other.router()).await.len(), 1);

    acme.admin.get("/me").await.expect(200);
    let after = sessions(acme.router()).await;
    assert_eq!(after.len(), 1);
    assert_ne!(after, before);
}

/// Tried with a disconnect that is not written to the change log: the other process keeps its
/// connection.
#[tokio::test]
async fn it_goes_to_every_process_and_stands_in_the_audit_trail() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    let there = serve.at(&acme.slug).bearer(acme.admin.token());
    acme.admin.get("/me").await.expect(200);
    there.get("/me").await.expect(200);
    let pg = dev.pg();
    let sessions = format!(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename = '{}'",
        acme.router()
    );
    assert_eq!(
        pg.texts("postgres", &sessions).await.len(),
        2,
        "one on each"
    );

    let path = format!("/setup/tenants/{}/disconnect", acme.id);
    let request = dev.operator().request(reqwest::Method::POST, &path);
    let done = request
        .header("x-request-id", "cut-1")
        .send()
        .await
        .expect(200);
    assert_eq!(done["routers"], 2, "{done}");
    assert!(done["change"].as_i64() > Some(0), "{done}");
    assert_eq!(pg.texts("postgres", &sessions).await, [""; 0]);
    let audited = format!(
        "SELECT actor || ' ' || request_id FROM audit WHERE action = 'tenant.disconnect' AND tenant_id = '{}'",
        acme.id
    );
    assert_eq!(pg.texts(&pg.catalog, &audited).await, ["dev cut-1"]);
    there.get("/me").await.expect(200);
}
