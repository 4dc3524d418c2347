//! `GET /setup/operations/{id}`

use serde_json::json;
use tenantry_testkit::{shared, unique};

#[tokio::test]
async fn an_operation_tells_its_steps_and_no_secret() {
    let dev = shared();
    let operator = dev.operator();
    let slug = unique("op");
    let body = json!({ "name": "Op", "slug": slug, "admin": { "email": "a@b.example" } });
    let made = operator.post("/setup/tenants", body).await.expect(201);
    let id = made["operationId"].as_str().expect("an operation");
    let answer = operator.get(&format!("/setup/operations/{id}")).await;
    let told = answer.expect(200);
    assert_eq!(told["operationId"], id);
    assert_eq!(told["kind"], "create");
    assert_eq!(told["status"], "done");
    assert_eq!(told["tenantId"], made["tenantId"]);
    assert!(told["finishedAt"].is_string(), "{told}");
    let steps = told["steps"].as_array().expect("steps");
    assert!(steps.len() >= 3, "{told}");
    for step in steps {
        assert_eq!(step["status"], "done", "{step}");
        assert!(
            step["name"].is_string() && step["startedAt"].is_string(),
            "{step}"
        );
    }
    // It was told with the creation already.
    for secret in ["dbPassword", "adminPassword"] {
        let text = made[secret].as_str().expect("a secret");
        assert!(!answer.text.contains(text), "{secret} in {answer}");
    }
}

#[tokio::test]
async fn deletions_are_operations_too() {
    let dev = shared();
    let acme = dev.tenant("opdel").await;
    let deleted = dev
        .operator()
        .delete(&format!("/setup/tenants/{}", acme.id))
        .await
        .expect(200);
    let id = deleted["operationId"].as_str().expect("an operation");
    let told = dev
        .operator()
        .get(&format!("/setup/operations/{id}"))
        .await
        .expect(200);
    assert_eq!(told["kind"], "delete");
    assert_eq!(told["status"], "done");
}

#[tokio::test]
async fn one_that_is_not_there_is_not_found() {
    let operator = shared().operator();
    operator
        .get("/setup/operations/00000000-0000-7000-8000-000000000000")
        .await
        .problem(404, "OPERATION_NOT_FOUND");
    let refused = operator.get("/setup/operations/junk").await;
    assert!(matches!(refused.status, 400 | 404 | 422), "{refused}");
    refused.any_problem();
}
