//! docs/runbooks/cluster-full.md

use serde_json::json;
use tenantry_testkit::Dev;

use super::Runbook;
use crate::setup::clusters::server::Second;

/// Tried: with a full cluster taken for one with room, the sign-up succeeds.
#[tokio::test]
async fn a_full_cluster_is_followed_by_another() {
    let dev = Dev::start();
    let acme = dev.tenant("acme").await;
    let gone = dev.tenant("gone").await;
    let operator = dev.operator();
    operator
        .delete(&format!("/setup/tenants/{}", gone.id))
        .await
        .expect(200);
    dev.cli(&["clusters", "update", "default", "--capacity", "2"])
        .expect(0);
    let more = json!({ "name": "More", "slug": "more" });
    operator
        .post("/setup/tenants", more.clone())
        .await
        .problem(503, "NO_CAPACITY");

    let second = Second::start().await;
    let url = second.url();
    let words = [
        ("CLUSTER", "default"),
        ("NEW", "second"),
        ("URL", url.as_str()),
        ("TENANT_THAT_MAY_GO", gone.slug.as_str()),
        ("TENANT_TO_TRY", "tried"),
        ("TENANT", acme.slug.as_str()),
    ];
    let mut book = Runbook::open("cluster-full");
    book.run(&dev, "clusters list", &words);
    book.run(&dev, "clusters show", &words);
    book.run(&dev, "top", &words);
    book.run(&dev, "clusters drain", &words);
    book.run(&dev, "clusters add", &words);
    let made = operator.post("/setup/tenants", more).await.expect(201);
    let made = operator
        .get(&format!(
            "/setup/tenants/{}",
            made["tenantId"].as_str().expect("an id")
        ))
        .await;
    assert_eq!(made.expect(200)["cluster"], "second");
    book.run(&dev, "tenants update", &words);
    book.run(&dev, "tenants delete", &words);
    assert!(!dev.pg().has_database(&gone.db_name).await);
    book.run(&dev, "clusters update", &words);
    book.run(&dev, "clusters accept", &words);
    book.run(&dev, "tenants create", &words);
    book.run(&dev, "status", &words);
    book.done();
}
