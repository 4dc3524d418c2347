//! Where tenants are put, and the life of a second cluster from its addition to its removal.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tenantry_testkit::{ADMIN_PASSWORD, Answer, Dev, Options, Serve, World};

use super::server::Second;
use super::{audited, cluster};
use crate::wait;

async fn create(dev: &Dev, slug: &str, more: Value) -> Answer {
    let mut body = json!({
        "name": slug, "slug": slug,
        "admin": { "email": "ann@acme.example", "password": ADMIN_PASSWORD },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    dev.operator().post("/setup/tenants", body).await
}

async fn spares(dev: &Dev, name: &str) -> i64 {
    cluster(dev, name).await["spares"]
        .as_i64()
        .expect("a number")
}

async fn until_spares(dev: &Dev, name: &str, wanted: i64) {
    wait::until(Duration::from_secs(60), "so many spares", async || {
        spares(dev, name).await == wanted
    })
    .await;
}

/// Signs in at a tenant's host on both servers: each opens connections of its own.
async fn is_served(dev: &Dev, serve: &Serve, slug: &str) {
    for host in [dev.at(slug), serve.at(slug)] {
        let (admin, _) = host.sign_in("ann@acme.example", ADMIN_PASSWORD).await;
        admin.get("/me").await.expect(200);
    }
}

async fn budget(dev: &Dev, name: &str, budget: u32) {
    let path = format!("/setup/clusters/{name}");
    let body = json!({ "connectionBudget": budget });
    dev.operator().patch(&path, body).await.expect(200);
}

/// Tried: a router that keeps a removed cluster while it holds connections whose end was not seen goes on telling of
/// it, and the wait for both fails.
#[tokio::test]
async fn a_second_cluster_from_its_addition_to_its_removal() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SPARES", "2"));
    // It runs before there is a second cluster, and is never told to start again.
    let serve = Serve::join(&dev, "second", &[]);
    let second = Second::start().await;
    let operator = dev.operator();
    budget(&dev, "default", 40).await;
    until_spares(&dev, "default", 2).await;
    let body = json!({ "weight": 300, "connectionBudget": 40, "region": "eu" });
    let made = operator
        .post("/setup/clusters", second.body("second", body))
        .await
        .expect(201);
    assert_eq!(made["cluster"]["status"], "open", "{made}");
    until_spares(&dev, "second", 2).await;

    // By weight: 300/1, 300/2, then 100/1 of the older one before 300/3, then that.
    for slug in ["a", "b", "c", "d"] {
        create(&dev, slug, json!({})).await.expect(201);
    }
    assert_eq!(second.tenants().await, ["tenant_a", "tenant_b", "tenant_d"]);
    assert_eq!(cluster(&dev, "second").await["tenants"], 3);
    assert_eq!(cluster(&dev, "default").await["tenants"], 1);
    for slug in ["a", "b", "c", "d"] {
        is_served(&dev, &serve, slug).await;
    }

    // By what is asked for.
    let port = second.port();
    create(&dev, "e", json!({ "region": "eu" }))
        .await
        .expect(201);
    create(&dev, "f", json!({ "cluster": "default" }))
        .await
        .expect(201);
    create(&dev, "g", json!({ "dbHost": "127.0.0.1", "dbPort": port }))
        .await
        .expect(201);
    let there = ["tenant_a", "tenant_b", "tenant_d", "tenant_e", "tenant_g"];
    assert_eq!(second.tenants().await, there);
    for (more, field) in [
        (json!({ "region": "us" }), "region"),
        (json!({ "cluster": "default", "region": "eu" }), "region"),
        (json!({ "cluster": "third" }), "cluster"),
        (json!({ "dbHost": "127.0.0.1", "dbPort": 1 }), "dbHost"),
        (json!({ "dbHost": "/run/postgresql" }), "dbHost"),
    ] {
        let refused = create(&dev, "none", more).await;
        assert_eq!(refused.wrong_fields(), [field], "{refused}");
        assert!(!refused.text.contains("second"), "{refused}");
    }

    // Drained: its tenants are served, and no other comes.
    let drained = operator
        .post("/setup/clusters/second/drain", json!({}))
        .await
        .expect(200);
    assert_eq!(drained["status"], "draining", "{drained}");
    operator
        .post("/setup/clusters/second/drain", json!({}))
        .await
        .expect(200);
    create(&dev, "h", json!({})).await.expect(201);
    create(&dev, "i", json!({ "cluster": "second" }))
        .await
        .problem(409, "CLUSTER_DRAINING");
    create(&dev, "i", json!({ "region": "eu" }))
        .await
        .problem(503, "NO_CAPACITY");
    assert_eq!(second.tenants().await, there);
    until_spares(&dev, "second", 0).await;
    // One that was being made when the drain came is no spare yet, and goes as well.
    wait::until(Duration::from_secs(60), "nothing of a spare", async || {
        let left = second.ours().await;
        left.iter().all(|name| !name.starts_with("tnt_new_"))
    })
    .await;
    is_served(&dev, &serve, "a").await;

    // Not removed while anything of a tenant is there, deleted ones included.
    let remove = async |query: &str| {
        operator
            .delete(&format!("/setup/clusters/second{query}"))
            .await
    };
    let refused = remove("").await;
    refused.problem(409, "CLUSTER_IN_USE");
    assert!(refused.text.contains("5 tenants"), "{refused}");
    for slug in ["a", "b", "d", "e"] {
        let path = format!("/setup/tenants/{slug}?purge=true");
        operator.delete(&path).await.expect(200);
    }
    operator.delete("/setup/tenants/g").await.expect(200);
    let refused = remove("?abandon=true").await;
    refused.problem(409, "CLUSTER_IN_USE");
    assert!(refused.text.contains("1 deleted tenants"), "{refused}");
    operator
        .delete("/setup/tenants/g?purge=true")
        .await
        .expect(200);
    let removed = remove("").await.expect(200);
    assert_eq!(removed["left"], json!([]), "{removed}");
    assert_eq!(second.ours().await, [""; 0]);
    operator
        .get("/setup/clusters/second")
        .await
        .problem(404, "CLUSTER_NOT_FOUND");
    assert_eq!(
        audited(&dev).await,
        [
            "cluster.set_budget",
            "cluster.add",
            "cluster.drain",
            "cluster.remove"
        ]
    );

    // Both routers have heard of it, and follow what comes after.
    wait::until(Duration::from_secs(30), "both follow", async || {
        let all = operator.get("/setup/routers").await.expect(200);
        let all = all["items"].as_array().expect("items");
        all.len() == 2
            && all.iter().all(|one| {
                let clusters = one["clusters"].as_array().map_or(0, Vec::len);
                one["live"] == true && one["behindChanges"] == 0 && clusters == 1
            })
    })
    .await;
    is_served(&dev, &serve, "c").await;

    // The server can become a cluster again, by another name.
    operator
        .post("/setup/clusters", second.body("again", json!({})))
        .await
        .expect(201);
    create(&dev, "j", json!({ "cluster": "again" }))
        .await
        .expect(201);
    is_served(&dev, &serve, "j").await;
}

#[tokio::test]
async fn the_last_places_are_taken_by_as_many_as_there_are() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SPARES", "2"));
    let second = Second::start().await;
    let operator = dev.operator();
    let body = second.body("small", json!({ "capacity": 3 }));
    operator.post("/setup/clusters", body).await.expect(201);
    let slugs: Vec<_> = (0..8).map(|n| format!("t{n}")).collect();
    let asked = slugs
        .iter()
        .map(|slug| create(&dev, slug, json!({ "cluster": "small" })));
    let answers = join_all(asked).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 3, "{answers:?}");
    for (slug, answer) in slugs.iter().zip(&answers) {
        if answer.status != 201 {
            answer.problem(503, "NO_CAPACITY");
            let found = World::of(&dev.pg()).await.mentions(&format!(" {slug} "));
            assert!(found.is_empty(), "{found:?}");
        }
    }
    assert_eq!(second.tenants().await.len(), 3);
    let small = cluster(&dev, "small").await;
    assert_eq!(
        (&small["tenants"], &small["capacity"]),
        (&json!(3), &json!(3))
    );
    // Who asks for none gets the other one.
    create(&dev, "other", json!({})).await.expect(201);
    assert_eq!(second.tenants().await.len(), 3);
    let more = json!({ "capacity": 4 });
    operator
        .patch("/setup/clusters/small", more)
        .await
        .expect(200);
    create(&dev, "fourth", json!({ "cluster": "small" }))
        .await
        .expect(201);
    create(&dev, "fifth", json!({ "cluster": "small" }))
        .await
        .problem(503, "NO_CAPACITY");
    // One that is lower moves nobody.
    let fewer = json!({ "capacity": 1, "region": "eu" });
    operator
        .patch("/setup/clusters/small", fewer)
        .await
        .expect(200);
    assert_eq!(cluster(&dev, "small").await["tenants"], 4);
    let none = json!({ "capacity": null, "region": "" });
    let changed = operator
        .patch("/setup/clusters/small", none)
        .await
        .expect(200);
    assert!(
        changed.get("capacity").is_none() && changed.get("region").is_none(),
        "{changed}"
    );
    create(&dev, "fifth", json!({ "cluster": "small" }))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_server_that_is_away_is_passed_over_and_can_be_given_up() {
    let dev = Dev::start_with(Options::default().env("TENANTRY_SPARES", "2"));
    let second = Second::start().await;
    let operator = dev.operator();
    let body = second.body("second", json!({ "weight": 1000 }));
    operator.post("/setup/clusters", body).await.expect(201);
    until_spares(&dev, "second", 2).await;
    drop(second);
    create(&dev, "a", json!({})).await.expect(201);
    assert_eq!(cluster(&dev, "default").await["tenants"], 1);
    create(&dev, "b", json!({ "cluster": "second" }))
        .await
        .problem(503, "CLUSTER_UNAVAILABLE");
    operator
        .post("/setup/clusters/second/drain", json!({}))
        .await
        .expect(200);
    // Its spares are in the catalog; nobody knows what became of them.
    let refused = operator.delete("/setup/clusters/second?abandon=true").await;
    refused.problem(409, "CLUSTER_IN_USE");
    assert!(refused.text.contains("2 spares"), "{refused}");
}
