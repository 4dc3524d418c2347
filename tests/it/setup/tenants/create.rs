//! `POST /setup/tenants`

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Dev, shared, unique};

use crate::wait;

#[tokio::test]
async fn fifty_at_once_all_succeed() {
    let dev = Dev::start();
    let operator = dev.operator();
    let made = join_all((0..50).map(|n| {
        let slug = format!("c{n}");
        let body = json!({
            "name": slug, "slug": slug,
            "admin": { "email": "a@b.example", "password": ADMIN_PASSWORD },
        });
        let operator = operator.clone();
        async move { operator.post("/setup/tenants", body).await.expect(201) }
    }))
    .await;
    for field in [
        "tenantId",
        "dbName",
        "dbUsername",
        "dbPassword",
        "operationId",
    ] {
        let different: BTreeSet<_> = made.iter().map(|one| one[field].to_string()).collect();
        assert_eq!(different.len(), 50, "{field}");
    }
    let pg = dev.pg();
    for one in &made {
        let text = |field: &str| one[field].as_str().expect("a text");
        pg.connect(text("dbUsername"), text("dbPassword"), text("dbName"))
            .await
            .unwrap_or_else(|error| panic!("{one}: {error}"));
    }
    for slug in ["c0", "c49"] {
        dev.at(slug).sign_in("a@b.example", ADMIN_PASSWORD).await;
    }
    assert_eq!(
        dev.operator()
            .get("/setup/tenants?limit=200")
            .await
            .expect(200)["items"]
            .as_array()
            .map(Vec::len),
        Some(50)
    );
}

#[tokio::test]
async fn without_an_admin_there_is_nobody_in_it() {
    let dev = shared();
    let slug = unique("bare");
    let body = json!({ "name": "Bare", "slug": slug });
    let made = dev
        .operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    assert_eq!(made["adminPassword"], Value::Null);
    let db = made["dbName"].as_str().expect("a database");
    let users = dev
        .pg()
        .texts(db, "SELECT count(*)::text FROM tenantry.users")
        .await;
    assert_eq!(users, ["0"]);
}

#[tokio::test]
async fn an_admin_without_a_password_gets_one_that_works() {
    let dev = shared();
    let slug = unique("made");
    let body = json!({ "name": "Made", "slug": slug, "admin": { "email": "Ann@Made.Example" } });
    let made = dev
        .operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    let password = made["adminPassword"].as_str().expect("a password");
    dev.at(&slug).sign_in("ann@made.example", password).await;
}

#[tokio::test]
async fn a_primary_domain_leads_to_the_tenant() {
    let dev = shared();
    let operator = dev.operator();
    let (one, two) = (unique("dom"), unique("dom"));
    let custom = format!("shop.{one}.example");
    let label = format!("{two}-shop");

    let body = json!({ "name": "One", "slug": one, "primaryDomain": custom });
    let made = operator.post("/setup/tenants", body).await.expect(201);
    // A domain of its own leads there only when it is proven; until then the subdomain does.
    let url = |tenant: &Value| tenant["url"].as_str().expect("a URL").to_owned();
    assert!(url(&made).contains(&format!("{one}.localhost")), "{made}");
    assert_eq!(made["domain"]["domain"], custom.as_str(), "{made}");
    assert_eq!(made["domain"]["state"], "pending");
    dev.at(&one)
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
    let unproven = dev.base().host(&custom);
    unproven.get("/me").await.problem(404, "TENANT_NOT_FOUND");
    dev.dns().set_record(&made["domain"]);
    operator
        .post(
            &format!("/setup/tenants/{one}/domains/{custom}/verify"),
            json!({}),
        )
        .await
        .expect(200);
    let shown = operator.get(&format!("/setup/tenants/{one}")).await;
    assert!(url(&shown.json()).contains(&custom), "{shown}");
    let body = json!({ "name": "Two", "slug": two, "primaryDomain": label });
    operator.post("/setup/tenants", body).await.expect(201);

    // A known host asks for a token, an unknown one is not there.
    let at = dev.base();
    at.host(&custom)
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
    at.host(&custom.to_uppercase())
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
    at.host(&format!("x.{custom}"))
        .get("/me")
        .await
        .problem(404, "TENANT_NOT_FOUND");
    dev.at(&label)
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");

    // Taken names are refused and nothing of the try is kept.
    for domain in [&custom, &label] {
        let slug = unique("late");
        let body = json!({ "name": "Late", "slug": slug, "primaryDomain": domain });
        operator
            .post("/setup/tenants", body)
            .await
            .problem(409, "DOMAIN_TAKEN");
        operator
            .get(&format!("/setup/tenants/{slug}"))
            .await
            .expect(404);
    }
    // A slug is a domain too: nobody may take the label of another.
    let body = json!({ "name": "Late", "slug": label });
    let refused = operator.post("/setup/tenants", body).await;
    assert_eq!(refused.status, 409, "{refused}");
}

#[tokio::test]
async fn a_taken_slug_is_refused_and_the_first_one_stays() {
    let dev = shared();
    let acme = dev.tenant("taken").await;
    let body = json!({ "name": "Second", "slug": acme.slug });
    dev.operator()
        .post("/setup/tenants", body)
        .await
        .problem(409, "SLUG_TAKEN");
    acme.admin.get("/me").await.expect(200);
}

#[tokio::test]
async fn a_slug_that_two_ask_for_at_once_is_given_to_one() {
    let dev = shared();
    let slug = unique("race");
    let body = json!({ "name": "Race", "slug": slug });
    let operator = dev.operator();
    let answers = join_all((0..6).map(|_| operator.post("/setup/tenants", body.clone()))).await;
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(won, 1);
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        lost.problem(409, "SLUG_TAKEN");
    }
}

#[tokio::test]
async fn the_address_must_be_that_of_a_registered_cluster() {
    let dev = shared();
    let pg = dev.pg();
    let slug = unique("there");
    let at = |host: &str, port: u16| json!({ "name": "X", "slug": slug, "dbHost": host, "dbPort": port });
    for (host, port) in [
        ("10.0.0.1", pg.port),
        ("evil.example", 5432),
        (pg.host.as_str(), 1),
    ] {
        let refused = dev.operator().post("/setup/tenants", at(host, port)).await;
        let fields = refused.wrong_fields();
        assert!(
            fields.iter().all(|field| field.starts_with("db")) && !fields.is_empty(),
            "{refused}"
        );
    }
    let made = dev
        .operator()
        .post("/setup/tenants", at(&pg.host, pg.port))
        .await;
    made.expect(201);
}

#[tokio::test]
async fn with_respond_async_the_password_is_read_once() {
    let dev = shared();
    let operator = dev.operator();
    let slug = unique("later");
    let email = format!("ann@{slug}.example");
    let answer = operator
        .request(Method::POST, "/setup/tenants")
        .header("prefer", "respond-async")
        .json(&json!({ "name": "Later", "slug": slug, "admin": { "email": email, "password": ADMIN_PASSWORD } }))
        .send()
        .await;
    let accepted = answer.expect(202);
    assert!(!answer.text.contains("assword"), "{answer}");
    let location = answer.header("location").expect("where to ask").to_owned();
    let id = accepted["operationId"].as_str().expect("an operation");
    assert!(
        location.ends_with(&format!("/setup/operations/{id}")),
        "{location}"
    );

    let path = format!("/setup/operations/{id}");
    let mut told = Value::Null;
    wait::until(
        std::time::Duration::from_secs(60),
        "the tenant is made",
        async || {
            told = operator.get(&path).await.expect(200);
            told["status"] == "done"
        },
    )
    .await;
    let text = |field: &str| {
        told["result"][field]
            .as_str()
            .unwrap_or_else(|| panic!("{field} in {told}"))
    };
    dev.pg()
        .connect(text("dbUsername"), text("dbPassword"), text("dbName"))
        .await
        .expect("the login works");
    let again = operator.get(&path).await;
    assert_eq!(again.expect(200)["status"], "done");
    assert!(!again.text.contains("dbPassword"), "{again}");
    dev.at(&slug).sign_in(&email, ADMIN_PASSWORD).await;
}
