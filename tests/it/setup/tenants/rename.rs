//! `POST /setup/tenants/{id or slug}/rename`

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tenantry_testkit::{Client, Dev, Serve, shared, unique};

use crate::wait;

async fn rename(operator: &Client, tenant: &str, body: serde_json::Value) -> serde_json::Value {
    let path = format!("/setup/tenants/{tenant}/rename");
    operator.post(&path, body).await.expect(200)
}

/// Two servers: whichever is asked after the call, each knows the new host and redirects at the old one.
/// Tried with the change not told to the routers: nobody is at the new host.
#[tokio::test]
async fn a_renamed_tenant_is_at_its_new_host_on_every_router_and_its_token_goes_on() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    let (old, database) = (acme.slug.as_str(), acme.db_name.as_str());
    for address in [dev.address(), serve.address()] {
        // Known, and that there is nobody at the other host.
        let here = Client::new(address, &format!("{old}.localhost"));
        here.bearer(acme.admin.token()).get("/me").await.expect(200);
        let there = Client::new(address, "globex.localhost");
        there.get("/me").await.expect(404);
    }
    let told = rename(&dev.operator(), old, json!({ "slug": "globex" })).await;
    assert_eq!(told["slug"], "globex");
    assert_eq!(told["primaryDomain"], "globex");
    assert_eq!(told["dbName"], database, "the database keeps its name");
    for address in [dev.address(), serve.address()] {
        let there = Client::new(address, "globex.localhost").bearer(acme.admin.token());
        there.get("/me").await.expect(200);
        there.get("/users").await.expect(200);
        let (port, host) = (
            address.port(),
            format!("{old}.localhost:{}", address.port()),
        );
        let here = Client::new(address, &host).bearer(acme.admin.token());
        for method in [
            Method::GET,
            Method::POST,
            Method::DELETE,
            Method::PATCH,
            Method::OPTIONS,
        ] {
            let path = "/users/a%2Fb?x=1&next=//evil.test";
            let answer = here.request(method.clone(), path).send().await;
            assert_eq!(answer.status, 308, "{method}: {answer}");
            assert_eq!(
                answer.header("location"),
                Some(format!("http://globex.localhost:{port}{path}").as_str()),
                "{method}"
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            answer.problem(308, "TENANT_MOVED");
        }
        // Paths that look like hosts stay paths.
        let answer = here.get("//evil.test/x").await;
        let location = answer.header("location").expect("a place").to_owned();
        assert_eq!(
            location,
            format!("http://globex.localhost:{port}//evil.test/x")
        );
    }
    let pg = dev.pg();
    pg.connect(&acme.db_username, &acme.db_password, database)
        .await
        .expect("the product's login keeps its name");
    // What the old slug named is nobody now; the new one and the id are this tenant.
    let operator = dev.operator();
    let path = format!("/setup/tenants/{old}");
    operator.get(&path).await.problem(404, "TENANT_NOT_FOUND");
    assert_eq!(
        operator.get("/setup/tenants/globex").await.expect(200)["tenantId"],
        acme.id.as_str()
    );
    let audited = "SELECT detail::text FROM audit WHERE action = 'tenant.rename'";
    let audited = pg.texts(&pg.catalog, audited).await;
    let detail: serde_json::Value = serde_json::from_str(&audited[0]).expect("JSON");
    assert_eq!(detail["from"]["slug"], old);
    assert_eq!(detail["to"]["slug"], "globex");
}

/// Nobody but a former host of a tenant redirects, and a deleted tenant's looks like any other name. Tried
/// with the change not told to the routers: the former host is served.
#[tokio::test]
async fn only_a_former_host_redirects() {
    let dev = shared();
    let acme = dev.tenant("former").await;
    let new = unique("present");
    rename(&dev.operator(), &acme.id, json!({ "slug": new })).await;
    dev.at(&acme.slug)
        .get("/me")
        .await
        .problem(308, "TENANT_MOVED");
    dev.at(&unique("nobody")).get("/me").await.expect(404);
    // A label more is another name.
    let deeper = format!("x.{}", acme.slug);
    dev.at(&deeper).get("/me").await.expect(404);
    let probe = dev.at(&acme.slug).get("/healthz").await;
    assert_eq!(probe.status, 200, "probes ask the program: {probe}");

    let path = format!("/setup/tenants/{}/suspend", acme.id);
    let reason = json!({ "reason": "Unpaid." });
    dev.operator().post(&path, reason).await.expect(200);
    dev.at(&acme.slug)
        .get("/me")
        .await
        .problem(403, "TENANT_SUSPENDED");
    let path = format!("/setup/tenants/{}", acme.id);
    dev.operator().delete(&path).await.expect(200);
    let gone = dev
        .at(&acme.slug)
        .get("/me")
        .await
        .problem(404, "TENANT_NOT_FOUND");
    let nobody = dev
        .at(&unique("nobody"))
        .get("/me")
        .await
        .problem(404, "TENANT_NOT_FOUND");
    assert_eq!(gone["detail"], nobody["detail"]);
}

/// Tried with a subdomain that is not inserted taken for one that is: 201 for the reserved slug.
#[tokio::test]
async fn a_slug_that_redirects_is_taken_until_that_is_over() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    let other = dev.tenant("other").await;
    let operator = dev.operator();
    rename(
        &operator,
        &acme.id,
        json!({ "slug": "globex", "redirectFor": 3600 }),
    )
    .await;
    let again = json!({ "name": "Again", "slug": acme.slug });
    let refused = operator.post("/setup/tenants", again.clone()).await;
    refused.problem(409, "SLUG_TAKEN");
    let path = format!("/setup/tenants/{}/rename", other.id);
    for slug in [acme.slug.as_str(), "globex"] {
        let refused = operator.post(&path, json!({ "slug": slug })).await;
        refused.problem(409, "SLUG_TAKEN");
    }
    let told = dev.cli(&["tenants", "explain", "globex"]).expect(0);
    let redirects = told.stdout.contains("FORMER_HOST_REDIRECTS");
    assert!(redirects && told.stdout.contains(&acme.slug), "{told}");
    let domains = operator
        .get("/setup/tenants/globex/domains")
        .await
        .expect(200);
    assert_eq!(domains["items"][1]["domain"], acme.slug.as_str());
    assert_eq!(domains["items"][1]["state"], "redirecting");

    // Over: for the routers, which have met the name, and for who wants it, before anybody has swept.
    for host in [dev.at(&acme.slug), serve.at(&acme.slug)] {
        host.get("/me").await.problem(308, "TENANT_MOVED");
    }
    rename(
        &operator,
        &acme.id,
        json!({ "slug": "third", "redirectFor": 1 }),
    )
    .await;
    wait::until(
        Duration::from_secs(20),
        "the redirect is over",
        async || {
            dev.at("globex").get("/me").await.status == 404
                && serve.at("globex").get("/me").await.status == 404
        },
    )
    .await;
    let told = operator
        .post("/setup/tenants", json!({ "name": "New", "slug": "globex" }))
        .await;
    let told = told.expect(201);
    for host in [dev.at("globex"), serve.at("globex")] {
        host.get("/me").await.problem(401, "UNAUTHENTICATED");
    }
    assert_ne!(told["tenantId"], acme.id.as_str());
    // The older one still leads to the tenant, now at its third host.
    let answer = dev.at(&acme.slug).get("/me").await;
    let location = answer.header("location").expect("a place");
    assert!(location.starts_with("http://third.localhost"), "{location}");
}

/// Tried without the look whether it has the slug already: renaming it to its own is 500.
#[tokio::test]
async fn a_tenant_gets_its_own_former_slug_back_and_an_own_label_becomes_its_slug() {
    let dev = shared();
    let acme = dev.tenant("return").await;
    let (new, operator) = (unique("away"), dev.operator());
    rename(&operator, &acme.id, json!({ "slug": new })).await;
    let back = rename(&operator, &acme.id, json!({ "slug": acme.slug })).await;
    assert_eq!(back["primaryDomain"], acme.slug.as_str());
    acme.admin.get("/me").await.expect(200);
    let answer = dev.at(&new).get("/me").await;
    answer.problem(308, "TENANT_MOVED");
    let same = rename(&operator, &acme.id, json!({ "slug": acme.slug })).await;
    assert_eq!(same["updatedAt"], back["updatedAt"], "nothing changed");

    let (slug, label) = (unique("two"), unique("label"));
    let body = json!({ "name": "Two", "slug": slug, "primaryDomain": label });
    let made = operator.post("/setup/tenants", body).await.expect(201);
    let id = made["tenantId"].as_str().expect("an id");
    let body = json!({ "slug": label, "redirectFor": 0 });
    let told = rename(&operator, id, body).await;
    assert_eq!(told["primaryDomain"], label.as_str());
    dev.at(&label)
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
    // Without a redirect the former one is free at once.
    dev.at(&slug).get("/me").await.expect(404);
    let again = json!({ "name": "Again", "slug": slug });
    operator.post("/setup/tenants", again).await.expect(201);
    dev.at(&slug)
        .get("/me")
        .await
        .problem(401, "UNAUTHENTICATED");
}

/// Tried with the index of slugs under another name, so that its refusal is no conflict: 500.
#[tokio::test]
async fn of_two_who_want_a_slug_at_once_one_gets_it() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let there = serve.base().bearer(&dev.operator_token());
    let here = dev.operator();
    let (acme, other) = (dev.tenant("acme").await, dev.tenant("other").await);
    for round in 0..5 {
        let slug = format!("wanted{round}");
        let of = |id: &str| format!("/setup/tenants/{id}/rename");
        let (a, b) = (of(&acme.id), of(&other.id));
        let (a, b, made) = futures::join!(
            here.post(&a, json!({ "slug": slug })),
            there.post(&b, json!({ "slug": slug })),
            here.post("/setup/tenants", json!({ "name": "New", "slug": slug })),
        );
        let won = [(&a, 200), (&b, 200), (&made, 201)];
        let winners = won
            .iter()
            .filter(|(answer, status)| answer.status == *status);
        assert_eq!(winners.count(), 1, "round {round}: {a} {b} {made}");
        for (answer, status) in won {
            if answer.status != status {
                answer.problem(409, "SLUG_TAKEN");
            }
        }
        let shown = here.get(&format!("/setup/tenants/{slug}")).await;
        shown.expect(200);
    }
}

/// Tried without the look at the tenant's state: a deleted one is renamed.
#[tokio::test]
async fn what_cannot_be_renamed_is_told() {
    let dev = shared();
    let acme = dev.tenant("refused").await;
    let operator = dev.operator();
    let path = format!("/setup/tenants/{}/rename", acme.id);
    for (body, field) in [
        (json!({}), "slug"),
        (json!({ "slug": "www" }), "slug"),
        (json!({ "slug": "Not_A_Slug" }), "slug"),
        (json!({ "slug": "fine", "redirectFor": -1 }), "redirectFor"),
        (
            json!({ "slug": "fine", "redirectFor": 31_536_001 }),
            "redirectFor",
        ),
        (
            json!({ "slug": "fine", "redirectFor": "7d" }),
            "redirectFor",
        ),
    ] {
        let refused = operator.post(&path, body.clone()).await;
        assert_eq!(refused.wrong_fields(), [field], "{body}");
    }
    operator
        .delete(&format!("/setup/tenants/{}", acme.id))
        .await
        .expect(200);
    let refused = operator
        .post(&path, json!({ "slug": unique("late") }))
        .await;
    refused.problem(409, "WRONG_STATE");
    let nobody = operator
        .post("/setup/tenants/nobody-here/rename", json!({ "slug": "x" }))
        .await;
    nobody.problem(404, "TENANT_NOT_FOUND");
}
