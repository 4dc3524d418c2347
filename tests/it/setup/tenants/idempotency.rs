//! `Idempotency-Key` on `POST /setup/tenants`

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{Answer, Client, shared, unique};

async fn create(operator: &Client, key: &str, body: &Value) -> Answer {
    operator
        .request(Method::POST, "/setup/tenants")
        .header("idempotency-key", key)
        .json(body)
        .send()
        .await
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_answer() {
    let dev = shared();
    let operator = dev.operator();
    let (slug, key) = (unique("again"), unique("key"));
    let body = json!({ "name": "Again", "slug": slug, "admin": { "email": "a@b.example" } });
    let first = create(&operator, &key, &body).await.expect(201);
    assert!(first["dbPassword"].is_string(), "{first}");
    assert!(first["adminPassword"].is_string(), "{first}");
    for _ in 0..2 {
        let replay = create(&operator, &key, &body).await;
        assert!(matches!(replay.status, 200 | 201), "{replay}");
        assert_eq!(replay.json(), first);
    }
    let (name, password) = (&first["dbUsername"], &first["dbPassword"]);
    dev.pg()
        .connect(
            name.as_str().expect("a login"),
            password.as_str().expect("a password"),
            first["dbName"].as_str().expect("a database"),
        )
        .await
        .expect("the replayed password is the working one");
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let dev = shared();
    let operator = dev.operator();
    let (slug, other, key) = (unique("body"), unique("body"), unique("key"));
    let body = json!({ "name": "Body", "slug": slug });
    create(&operator, &key, &body).await.expect(201);
    for changed in [
        json!({ "name": "Body", "slug": other }),
        json!({ "name": "Another", "slug": slug }),
        json!({ "name": "Body", "slug": slug, "plan": "pro" }),
    ] {
        create(&operator, &key, &changed)
            .await
            .problem(409, "IDEMPOTENCY_KEY_REUSED");
    }
    operator
        .get(&format!("/setup/tenants/{other}"))
        .await
        .expect(404);
}

#[tokio::test]
async fn ten_at_once_with_one_key_make_one_tenant() {
    let dev = shared();
    let operator = dev.operator();
    let (slug, key) = (unique("once"), unique("key"));
    let body = json!({ "name": "Once", "slug": slug });
    let answers = join_all((0..10).map(|_| create(&operator, &key, &body))).await;
    let first = answers[0].json();
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        assert_eq!(answer.json(), first);
    }
    let found = operator
        .get(&format!("/setup/tenants?search={slug}"))
        .await
        .expect(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_key_of_another_operator_is_another_key() {
    let dev = shared();
    let name = unique("operator");
    let made = dev
        .operator()
        .post("/setup/operators", json!({ "name": name }))
        .await
        .expect(201);
    let second = dev.base().bearer(made["token"].as_str().expect("a token"));
    let key = unique("key");
    let (one, two) = (unique("own"), unique("own"));
    create(&dev.operator(), &key, &json!({ "name": "A", "slug": one }))
        .await
        .expect(201);
    create(&second, &key, &json!({ "name": "B", "slug": two }))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_key_must_be_one_short_line() {
    let dev = shared();
    let body = json!({ "name": "Key", "slug": unique("key") });
    for bad in [String::new(), "x".repeat(1000)] {
        let refused = create(&dev.operator(), &bad, &body).await;
        assert!(matches!(refused.status, 400 | 422), "{refused}");
        refused.any_problem();
    }
}
