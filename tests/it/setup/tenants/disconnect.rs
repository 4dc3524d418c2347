//! `POST /setup/tenants/{id}/disconnect`

use serde_json::json;
use tenantry_testkit::shared;

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
