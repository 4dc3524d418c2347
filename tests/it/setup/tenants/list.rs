//! `GET /setup/tenants`

use serde_json::{Value, json};
use tenantry_testkit::{shared, unique};

fn slugs(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    let slug = |item: &Value| item["slug"].as_str().expect("a slug").to_owned();
    items.iter().map(slug).collect()
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let dev = shared();
    let operator = dev.operator();
    let word = unique("page");
    let mut made = Vec::new();
    for n in 0..5 {
        let slug = format!("{word}-{n}");
        // The search looks into names as well.
        let body = json!({ "name": format!("Name {word}"), "slug": slug });
        operator.post("/setup/tenants", body).await.expect(201);
        made.push(slug);
    }
    let mut seen = Vec::new();
    let mut query = format!("/setup/tenants?search={word}&limit=2");
    let mut sizes = Vec::new();
    loop {
        let page = operator.get(&query).await.expect(200);
        sizes.push(slugs(&page).len());
        seen.extend(slugs(&page));
        if seen.len() == 2 {
            // A new one in the middle of the walk moves nothing.
            let body = json!({ "name": "late", "slug": format!("{word}-late") });
            operator.post("/setup/tenants", body).await.expect(201);
            made.push(format!("{word}-late"));
        }
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("/setup/tenants?search={word}&limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(sizes, [2, 2, 2]);
    assert_eq!(seen, made, "in the order of their creation");
}

#[tokio::test]
async fn it_is_filtered_by_status() {
    let dev = shared();
    let operator = dev.operator();
    let word = unique("state");
    for n in 0..2 {
        let body = json!({ "name": "State", "slug": format!("{word}-{n}") });
        operator.post("/setup/tenants", body).await.expect(201);
    }
    operator
        .delete(&format!("/setup/tenants/{word}-1"))
        .await
        .expect(200);
    let with = |status: &str| format!("/setup/tenants?search={word}&status={status}");
    let active = operator.get(&with("active")).await.expect(200);
    assert_eq!(slugs(&active), [format!("{word}-0")]);
    let deleting = operator.get(&with("deleting")).await.expect(200);
    assert_eq!(slugs(&deleting), [format!("{word}-1")]);
    assert!(deleting["items"][0]["purgeAt"].is_string(), "{deleting}");
    assert_eq!(
        slugs(&operator.get(&with("moving")).await.expect(200)),
        [""; 0]
    );
}

#[tokio::test]
async fn what_is_searched_is_text_not_a_pattern() {
    let dev = shared();
    let operator = dev.operator();
    let slug = unique("percent");
    let body = json!({ "name": "100% of_it", "slug": slug });
    operator.post("/setup/tenants", body).await.expect(201);
    let found = operator
        .get("/setup/tenants?search=100%25%20of_it")
        .await
        .expect(200);
    assert_eq!(slugs(&found), [slug]);
    for pattern in ["1_0%25%20of", "10%25of_it", "%25percent"] {
        let found = operator
            .get(&format!("/setup/tenants?search={pattern}"))
            .await
            .expect(200);
        assert_eq!(slugs(&found), [""; 0], "{pattern}");
    }
}
