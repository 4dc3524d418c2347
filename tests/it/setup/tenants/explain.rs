//! `GET /setup/tenants/{id or slug}/explain`

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tenantry_testkit::{Dev, Serve, Tenant, shared};

use crate::wait;

async fn explain(dev: &Dev, tenant: &Tenant, query: &str) -> Value {
    let path = format!("/setup/tenants/{}/explain{query}", tenant.slug);
    dev.operator().get(&path).await.expect(200)
}

fn codes(told: &Value) -> Vec<&str> {
    let findings = told["verdict"].as_array().expect("a verdict");
    assert!(!findings.is_empty(), "{told}");
    let codes = findings.iter().map(|finding| {
        for field in ["message", "whatToDo"] {
            let text = finding[field].as_str().expect("a text");
            assert!(text.ends_with(['.', ')']), "{finding}");
        }
        finding["code"].as_str().expect("a code")
    });
    codes.collect()
}

/// Makes every router forget the tenant.
async fn disconnect(dev: &Dev, tenant: &Tenant) {
    let path = format!("/setup/tenants/{}/disconnect", tenant.id);
    dev.operator().post(&path, json!({})).await.expect(200);
}

fn answering(told: &Value) -> &Value {
    let all = told["routers"].as_array().expect("routers");
    let mut own = all.iter().filter(|router| router["answering"] == true);
    own.next().expect("the one that answers")
}

#[tokio::test]
async fn a_tenant_that_is_well_is_told_so_and_a_probe_proves_it() {
    let dev = shared();
    let acme = dev.tenant("well").await;
    acme.admin.get("/me").await.expect(200);
    let told = explain(dev, &acme, "").await;
    assert_eq!(codes(&told), ["NOTHING_FOUND"], "{told}");
    assert!(told.get("probe").is_none());
    assert_eq!(told["status"], "active");
    assert_eq!(told["database"]["name"], acme.db_name.as_str());
    assert_eq!(
        told["database"]["logins"],
        json!(["owner", "router", "user"])
    );
    assert_eq!(told["domains"][0]["domain"], acme.slug.as_str());
    assert_eq!(told["domains"][0]["state"], "verified");
    assert_eq!(told["cluster"]["name"], "default");
    let own = answering(&told);
    assert_eq!(own["hasLastChange"], true, "{told}");
    assert_eq!(own["epoch"], told["epoch"], "{told}");
    assert_eq!(own["pool"]["open"], 1, "{told}");
    assert_eq!(own["lastErrors"], json!([]));

    let told = explain(dev, &acme, "?probe=true").await;
    assert_eq!(codes(&told), ["ALL_WELL"], "{told}");
    assert_eq!(told["probe"]["ok"], true);
    assert!(told["probe"]["tookMs"].as_f64() > Some(0.0), "{told}");
    // What was probed is gone, and was none of the tenant's own.
    assert_eq!(answering(&told)["pool"]["open"], 1, "{told}");
    let table = dev
        .cli(&["tenants", "explain", &acme.slug, "--probe"])
        .expect(0)
        .stdout;
    assert!(
        table.starts_with("ALL_WELL") && table.contains(&acme.db_name),
        "{table}"
    );

    let unknown = dev.operator().get("/setup/tenants/nobody/explain").await;
    unknown.problem(404, "TENANT_NOT_FOUND");
    let wrong = dev
        .operator()
        .get("/setup/tenants/nobody/explain?probe=perhaps")
        .await;
    assert_eq!(wrong.wrong_fields(), ["probe"]);
}

/// Left out of the verdict when it read the served names alone.
#[tokio::test]
async fn a_domain_that_waits_for_its_record_is_told_with_the_record() {
    let dev = shared();
    let shop = dev.tenant("shopkeeper").await;
    let path = format!("/setup/tenants/{}/domains/shop.pending.example", shop.id);
    let wanted = dev.operator().put(&path, json!({})).await.expect(201);
    let told = explain(dev, &shop, "").await;
    assert_eq!(codes(&told)[0], "DOMAIN_NOT_VERIFIED", "{told}");
    let next = told["verdict"][0]["whatToDo"].as_str().expect("a text");
    for part in ["name", "value"] {
        let part = wanted["record"][part].as_str().expect("a text");
        assert!(next.contains(part), "{next}");
    }
    let domains = told["domains"].as_array().expect("domains");
    let states = domains.iter().map(|domain| &domain["state"]);
    assert_eq!(states.collect::<Vec<_>>(), ["verified", "pending"]);

    // Each has a record of its own.
    let path = format!("/setup/tenants/{}/domains/blog.pending.example", shop.id);
    dev.operator().put(&path, json!({})).await.expect(201);
    let told = explain(dev, &shop, "").await;
    assert_eq!(codes(&told)[..2], ["DOMAIN_NOT_VERIFIED"; 2], "{told}");
    for (finding, domain) in ["blog", "shop"].into_iter().enumerate() {
        let message = told["verdict"][finding]["message"].as_str();
        let message = message.expect("a text");
        assert!(
            message.contains(&format!("`{domain}.pending.example`")),
            "{told}"
        );
    }
}

#[tokio::test]
async fn the_state_comes_before_everything_else() {
    let dev = shared();
    let pg = dev.pg();
    let gone = dev.tenant("gone").await;
    dev.operator()
        .delete(&format!("/setup/tenants/{}", gone.id))
        .await
        .expect(200);
    let told = explain(dev, &gone, "?probe=true").await;
    assert_eq!(
        codes(&told)[..2],
        ["TENANT_DELETED", "PROBE_REFUSED"],
        "{told}"
    );
    let finding = &told["verdict"][0];
    assert!(
        finding["whatToDo"]
            .as_str()
            .expect("a text")
            .contains("undelete")
    );

    let held = dev.tenant("held").await;
    let set = format!(
        "UPDATE tenants SET status = 'suspended', status_reason = 'the bill is open' WHERE id = '{}'",
        held.id
    );
    pg.run(&pg.catalog, &set).await;
    let told = explain(dev, &held, "").await;
    assert_eq!(codes(&told), ["TENANT_SUSPENDED"], "{told}");
    assert!(
        told["verdict"][0]["message"]
            .as_str()
            .expect("a text")
            .contains("the bill is open")
    );
    // What was done behind our back is undone, for the others.
    let back = format!(
        "UPDATE tenants SET status = 'active', status_reason = NULL WHERE id = '{}'",
        held.id
    );
    pg.run(&pg.catalog, &back).await;
}

/// Tried by leaving out `refused` in the router: then nothing but the probe tells the reason.
#[tokio::test]
async fn a_login_that_is_refused_is_told_by_every_router_that_was_refused() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    let pg = dev.pg();
    let locked = format!("ALTER ROLE \"{}\" NOLOGIN", acme.router());
    pg.run("postgres", &locked).await;
    disconnect(&dev, &acme).await;
    acme.admin.get("/me").await.expect(503);
    let told = explain(&dev, &acme, "?probe=true").await;
    assert_eq!(
        codes(&told)[..2],
        ["PROBE_REFUSED", "LOGIN_REFUSED"],
        "{told}"
    );
    let error = &answering(&told)["lastErrors"][0];
    assert_eq!(error["code"], "LOGIN_REFUSED", "{told}");
    assert!(
        error["reason"]
            .as_str()
            .expect("a reason")
            .contains("28000"),
        "{told}"
    );
    assert!(
        !codes(&told).contains(&"CLUSTER_UNREACHABLE"),
        "the server answered"
    );

    // The other process tells of its own trouble with its lease.
    let there = serve.at(&acme.slug).bearer(acme.admin.token());
    there.get("/me").await.expect(503);
    wait::until(
        Duration::from_secs(20),
        "the other one's error",
        async || {
            let told = explain(&dev, &acme, "").await;
            let all = told["routers"].as_array().expect("routers");
            all.iter()
                .all(|router| router["lastErrors"][0]["code"] == "LOGIN_REFUSED")
        },
    )
    .await;
    let table = dev
        .cli(&["tenants", "explain", &acme.slug])
        .expect(0)
        .stdout;
    assert!(
        table.starts_with("LOGIN_REFUSED") && table.contains("LAST ERRORS"),
        "{table}"
    );
}

/// Tried by leaving out `unreachable_since` in the router's report: the first finding is another.
#[tokio::test]
async fn a_server_that_is_away_is_told_and_the_answer_waits_for_nothing() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let pg = dev.pg();
    // The catalog goes on; only the cluster's address leads nowhere.
    let lead = async |port: &str| {
        pg.run(&pg.catalog, &format!("UPDATE clusters SET port = {port}"))
            .await;
        disconnect(&dev, &acme).await;
    };
    lead("1").await;
    acme.admin.get("/me").await.expect(503);
    let told = explain(&dev, &acme, "").await;
    assert_eq!(codes(&told)[0], "CLUSTER_UNREACHABLE", "{told}");
    let message = told["verdict"][0]["message"].as_str().expect("a text");
    assert!(
        message.contains(":1)") && message.contains("nothing listens"),
        "{message}"
    );
    // For a moment after each failure, a longer one each time.
    wait::until(Duration::from_secs(20), "it is failing", async || {
        acme.admin.get("/me").await.expect(503);
        answering(&explain(&dev, &acme, "").await)["failing"] == true
    })
    .await;
    let told = explain(&dev, &acme, "?probe=true").await;
    assert_eq!(codes(&told)[0], "PROBE_UNREACHABLE", "{told}");
    assert_eq!(told["probe"]["what"], "unreachable");

    lead(&pg.port.to_string()).await;
    wait::until(Duration::from_secs(20), "served again", async || {
        acme.admin.get("/me").await.status == 200
    })
    .await;
    let told = explain(&dev, &acme, "?probe=true").await;
    assert_eq!(codes(&told), ["ALL_WELL"], "{told}");
    let last = &answering(&told)["lastErrors"][0];
    assert_eq!(
        last["code"], "DATABASE_UNAVAILABLE",
        "it is remembered: {told}"
    );
}

/// Tried with `has_last_change` that is always true: the frozen router is then told as up to date.
#[tokio::test]
async fn a_router_that_hangs_or_is_gone_is_told_and_what_it_knows_is_not_guessed() {
    let dev = Dev::start();
    let mut serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    serve.process().signal(Signal::STOP);
    // It is still counted on until its lease ends: the disconnect waits for it.
    let path = format!("/setup/tenants/{}/disconnect", acme.id);
    let asked = tokio::spawn(dev.operator().request(Method::POST, &path).try_send());
    wait::until(
        Duration::from_secs(10),
        "a router that is behind",
        async || {
            let told = explain(&dev, &acme, "").await;
            let behind = codes(&told).contains(&"ROUTER_BEHIND");
            let all = told["routers"].as_array().expect("routers");
            behind && all.iter().any(|router| router["hasLastChange"] == false)
        },
    )
    .await;
    let answer = asked.await.expect("a request").expect("an answer");
    assert_eq!(
        answer.expect(200)["routers"],
        1,
        "the one that hangs lost its lease"
    );
    let told = explain(&dev, &acme, "").await;
    assert!(
        !codes(&told).contains(&"ROUTER_BEHIND"),
        "nobody counts on it: {told}"
    );
    let unknown = told["notKnown"].as_array().expect("a list");
    assert_eq!(unknown.len(), 1, "{told}");
    assert!(
        unknown[0]
            .as_str()
            .expect("a text")
            .contains("lost its lease"),
        "{told}"
    );
    serve.process().signal(Signal::CONT);
}
