//! `GET /setup/routers` and `GET /setup/top`

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_testkit::{Dev, Serve};

use crate::wait;

async fn routers(dev: &Dev) -> Vec<Value> {
    let page = dev.operator().get("/setup/routers").await.expect(200);
    page["items"].as_array().expect("items").clone()
}

fn other(all: &[Value]) -> &Value {
    let mut others = all.iter().filter(|router| router["answering"] == false);
    let other = others.next().expect("another one");
    assert!(others.next().is_none(), "{all:?}");
    other
}

/// Tried with `answering` of every router, and with reports that are not written: both fail.
#[tokio::test]
async fn every_process_is_told_with_what_it_has_open_and_how_far_it_is() {
    let dev = Dev::start();
    let mut serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    let there = serve.at(&acme.slug).bearer(acme.admin.token());
    there.get("/me").await.expect(200);

    wait::until(
        Duration::from_secs(20),
        "the other one's report",
        async || {
            let all = routers(&dev).await;
            let clusters = other(&all)["clusters"].as_array().cloned();
            clusters.is_some_and(|all| all.iter().any(|one| one["open"] == 1))
        },
    )
    .await;
    let all = routers(&dev).await;
    assert_eq!(all.len(), 2, "{all:?}");
    for router in &all {
        assert_eq!(router["live"], true, "{router}");
        assert!(router["applied"].as_i64() >= router["acknowledged"].as_i64());
        let cluster = &router["clusters"][0];
        assert_eq!(cluster["name"], "default", "{router}");
        assert!(cluster["open"].as_i64() <= cluster["share"].as_i64());
        assert!(cluster.get("unreachableSince").is_none(), "{router}");
    }
    // Both have done everything, a moment later at the latest.
    wait::until(Duration::from_secs(20), "all acknowledged", async || {
        let all = routers(&dev).await;
        all.iter().all(|router| router["behindChanges"] == 0)
    })
    .await;
    let table = dev.cli(&["routers", "list"]).expect(0).stdout;
    for router in &all {
        let name = router["name"].as_str().expect("a name");
        assert_eq!(table.matches(name).count(), 2, "{table}");
    }
    assert!(
        table.contains("answers") && table.contains("default"),
        "{table}"
    );

    // Over both, the tenant has a connection on each.
    let top = dev
        .operator()
        .get("/setup/top?by=connections")
        .await
        .expect(200);
    let first = &top["items"][0];
    assert_eq!(first["slug"], acme.slug.as_str(), "{top}");
    assert_eq!(first["connections"], 2, "{top}");
    let wrong = dev.operator().get("/setup/top?by=slug").await;
    assert_eq!(wrong.wrong_fields(), ["by"]);

    // One that was killed is told as gone when its lease has ended.
    serve.process().kill9();
    wait::until(Duration::from_secs(20), "gone", async || {
        other(&routers(&dev).await)["live"] == false
    })
    .await;
    let path = format!("/setup/tenants/{}/disconnect", acme.id);
    let done = dev.operator().post(&path, json!({})).await.expect(200);
    assert_eq!(done["routers"], 1, "nobody waits for the dead");
    let all = routers(&dev).await;
    assert!(other(&all)["behindChanges"].as_i64() >= Some(1), "{all:?}");
    assert!(other(&all)["behindSeconds"].as_f64() > Some(0.0), "{all:?}");
    let told = dev.cli(&["routers", "list"]).expect(0).stdout;
    assert!(told.contains("gone"), "{told}");
}
