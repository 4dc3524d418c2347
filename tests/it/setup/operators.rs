//! `/setup/operators`

use serde_json::{Value, json};
use tenantry_testkit::{Dev, shared, unique};

#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let dev = shared();
    let operator = dev.operator();
    let name = unique("robot");
    let made = operator
        .post("/setup/operators", json!({ "name": name }))
        .await
        .expect(201);
    let token = made["token"].as_str().expect("a token");
    let robot = dev.base().bearer(token);
    robot.get("/setup/tenants").await.expect(200);
    operator
        .post("/setup/operators", json!({ "name": name }))
        .await
        .problem(409, "OPERATOR_NAME_TAKEN");

    let listed = operator.get("/setup/operators").await;
    assert!(listed.text.contains(&name), "{listed}");
    assert!(!listed.text.contains(token), "a token is told once");

    operator
        .delete(&format!("/setup/operators/{name}"))
        .await
        .expect(200);
    robot
        .get("/setup/tenants")
        .await
        .problem(401, "UNAUTHENTICATED");
    operator
        .delete(&format!("/setup/operators/{name}"))
        .await
        .problem(404, "OPERATOR_NOT_FOUND");
    // The name can be given anew, with another token.
    let again = operator
        .post("/setup/operators", json!({ "name": name }))
        .await
        .expect(201);
    assert_ne!(again["token"], made["token"]);
    robot
        .get("/setup/tenants")
        .await
        .problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn the_last_token_cannot_be_revoked() {
    let dev = Dev::start();
    let operator = dev.operator();
    let listed = operator.get("/setup/operators").await.expect(200);
    let items = listed["items"].as_array().expect("items");
    let all: Vec<&Value> = items
        .iter()
        .filter(|one| one["revokedAt"].is_null())
        .collect();
    assert_eq!(all.len(), 1, "{listed}");
    let id = all[0]["operatorId"].as_str().expect("an id");
    operator
        .delete(&format!("/setup/operators/{id}"))
        .await
        .problem(409, "LAST_OPERATOR");
    operator.get("/setup/tenants").await.expect(200);
}

#[tokio::test]
async fn what_was_done_is_in_the_audit_trail() {
    let dev = shared();
    let acme = dev.tenant("audit").await;
    let sql = format!(
        "SELECT format('%s %s', actor, action) FROM audit WHERE tenant_id = '{}'",
        acme.id
    );
    let lines = dev.pg().texts(&dev.pg().catalog, &sql).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("create"), "{lines:?}");
}
