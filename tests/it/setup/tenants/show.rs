//! `GET /setup/tenants/{id or slug}`

use serde_json::json;
use tenantry_testkit::{shared, unique};

#[tokio::test]
async fn a_tenant_is_shown_by_id_and_by_slug() {
    let dev = shared();
    let operator = dev.operator();
    let slug = unique("show");
    let body = json!({
        "name": "  Show & Tell  ", "slug": slug, "plan": "team-1",
        "metadata": { "crm": { "id": 17 }, "ä": null },
    });
    let made = operator.post("/setup/tenants", body).await.expect(201);
    let id = made["tenantId"].as_str().expect("an id");
    let by_id = operator
        .get(&format!("/setup/tenants/{id}"))
        .await
        .expect(200);
    let by_slug = operator
        .get(&format!("/setup/tenants/{slug}"))
        .await
        .expect(200);
    assert_eq!(by_id, by_slug);
    assert_eq!(by_id["tenantId"], id);
    assert_eq!(by_id["slug"], slug);
    assert_eq!(by_id["name"], "Show & Tell");
    assert_eq!(by_id["plan"], "team-1");
    assert_eq!(by_id["status"], "active");
    assert_eq!(by_id["dbName"], made["dbName"]);
    assert_eq!(by_id["metadata"], json!({ "crm": { "id": 17 }, "ä": null }));
    assert!(!by_id.to_string().contains("assword"), "{by_id}");
}

#[tokio::test]
async fn one_that_is_not_there_is_not_found() {
    let operator = shared().operator();
    for name in ["nobody-here", "00000000-0000-7000-8000-000000000000"] {
        operator
            .get(&format!("/setup/tenants/{name}"))
            .await
            .problem(404, "TENANT_NOT_FOUND");
    }
    for junk in ["Not%20A%20Slug", "..%2F..", "a%00b", "%C3%28"] {
        let refused = operator.get(&format!("/setup/tenants/{junk}")).await;
        assert!(matches!(refused.status, 400 | 404 | 422), "{refused}");
        refused.any_problem();
    }
}
