//! `GET /internal/tls-ask?domain=`, as Caddy asks it.

use futures::future::join_all;
use serde_json::json;
use tenantry_testkit::{Client, Dev, shared, unique};

use super::address;

fn client(dev: &Dev) -> Client {
    Client::new(address(dev), "127.0.0.1:9464")
}

async fn ask(dev: &Dev, domain: &str) -> u16 {
    let answer = client(dev)
        .get(&format!("/internal/tls-ask?domain={domain}"))
        .await;
    assert_eq!(answer.header("location"), None, "never elsewhere: {answer}");
    if answer.status != 200 {
        answer.any_problem();
    }
    answer.status
}

/// Tried with 200 for base domains.
#[tokio::test]
async fn names_of_tenants_that_are_served_may_have_a_certificate() {
    let dev = Dev::start();
    let acme = dev.tenant("ask").await;
    let slug = unique("ask");
    let custom = format!("shop.{slug}.example");
    let body = json!({ "name": "Custom", "slug": slug, "primaryDomain": custom });
    dev.operator()
        .post("/setup/tenants", body)
        .await
        .expect(201);
    assert_eq!(ask(&dev, &custom).await, 404, "not proven yet");
    dev.prove(&slug, &custom).await;
    let subdomain = format!("{}.localhost", acme.slug);
    for good in [
        &subdomain,
        &custom,
        &custom.to_uppercase(),
        &format!("{subdomain}."),
    ] {
        assert_eq!(ask(&dev, good).await, 200, "{good}");
    }
    for bad in [
        "localhost",
        "nobody.localhost",
        "a.b.localhost",
        "www.localhost",
        &format!("www.{custom}"),
        "example.com",
        "127.0.0.1",
    ] {
        assert_eq!(ask(&dev, bad).await, 404, "{bad}");
    }
    let set = async |status: &str| {
        let sql = format!(
            "UPDATE tenants SET status = '{status}' WHERE id = '{}'",
            acme.id
        );
        dev.pg().run(&dev.pg().catalog, &sql).await;
        let path = format!("/setup/tenants/{}/disconnect", acme.id);
        dev.operator().post(&path, json!({})).await.expect(200);
    };
    for (status, answered) in [("suspended", 404), ("migrating", 503), ("active", 200)] {
        set(status).await;
        assert_eq!(ask(&dev, &subdomain).await, answered, "{status}");
    }
    let path = format!("/setup/tenants/{}", acme.id);
    dev.operator().delete(&path).await.expect(200);
    assert_eq!(ask(&dev, &subdomain).await, 404, "deleted");

    assert_eq!(ask(&dev, &custom).await, 200);
    crate::proxies::stop_catalog(&dev).await;
    assert_eq!(ask(&dev, &custom).await, 200, "known");
    assert_eq!(ask(&dev, "unknown.example").await, 503, "nobody knows");
}

#[tokio::test]
async fn a_question_is_one_name_and_nothing_else() {
    let dev = shared();
    let slug = dev.tenant("ask").await.slug;
    for query in [
        String::new(),
        "?".to_owned(),
        "?domain=".to_owned(),
        format!("?domain={slug}.localhost&domain=example.com"),
        format!("?domain={slug}.localhost&x=y"),
        format!("?name={slug}.localhost"),
        format!("?domain={slug}.localhost:443"),
        format!("?domain=*.{slug}.localhost"),
        "?domain=*.localhost".to_owned(),
        format!("?domain=https://{slug}.localhost/"),
        "?domain=a%20b".to_owned(),
        "?domain=%ff".to_owned(),
        "?domain=[::1]".to_owned(),
        format!("?domain={}.example", "a".repeat(300)),
    ] {
        let answer = client(dev).get(&format!("/internal/tls-ask{query}")).await;
        answer.problem(400, "BAD_HOST");
    }
    for path in ["/internal/tls-ask/", "/internal", "/internal/"] {
        let answer = client(dev)
            .get(&format!("{path}?domain={slug}.localhost"))
            .await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (404, None),
            "{path}"
        );
    }
}

/// Anybody can make a proxy ask, for any name. What is remembered of unknown names is bounded, and asked
/// again the catalog has no part in the answer.
#[tokio::test]
async fn a_flood_of_unknown_names_is_answered_and_asks_the_catalog_once_for_each() {
    let dev = Dev::start();
    let acme = dev.tenant("ask").await;
    let name = format!("{}.localhost", acme.slug);
    assert_eq!(ask(&dev, &name).await, 200);
    for _ in 0..4 {
        let flood = (0..200).map(|_| {
            let unknown = format!("{}.example", unique("flood"));
            let dev = &dev;
            async move { ask(dev, &unknown).await }
        });
        let answers = join_all(flood).await;
        assert!(
            answers.iter().all(|status| matches!(status, 404 | 503)),
            "{answers:?}"
        );
        assert_eq!(
            ask(&dev, &name).await,
            200,
            "who is known is not pushed out"
        );
    }
    let loads = async || dev.metrics().await.sum("tenantry_router_loads_total", &[]);
    assert_eq!(ask(&dev, "again.example").await, 404);
    let before = loads().await;
    assert!(before >= 400.0, "loads are counted: {before}");
    for _ in 0..5 {
        assert_eq!(ask(&dev, "again.example").await, 404);
    }
    assert!(loads().await <= before + 1.0, "remembered for two seconds");
}
