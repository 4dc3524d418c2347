//! `PATCH /setup/tenants/{id or slug}`

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_testkit::{Dev, Serve, shared};

use crate::wait;

/// Tried with objects replaced instead of merged.
#[tokio::test]
async fn what_is_absent_stays_and_metadata_is_merged() {
    let dev = shared();
    let acme = dev.tenant("patched").await;
    let (operator, path) = (dev.operator(), format!("/setup/tenants/{}", acme.id));
    let first = json!({ "metadata": { "crm": { "id": 17, "owner": "ann" }, "trial": true } });
    operator.patch(&path, first).await.expect(200);
    let second = json!({
        "name": "Acme Ltd", "plan": "pro",
        "metadata": { "crm": { "owner": null, "stage": "won" }, "trial": null },
    });
    let told = operator.patch(&path, second).await.expect(200);
    assert_eq!(told["name"], "Acme Ltd");
    assert_eq!(told["plan"], "pro");
    assert_eq!(
        told["metadata"],
        json!({ "crm": { "id": 17, "stage": "won" } })
    );
    assert_eq!(told["limits"], json!({ "maxConnections": null }));
    assert_eq!(operator.get(&path).await.expect(200), told);
    let nothing = operator.patch(&path, json!({})).await.expect(200);
    assert_eq!(nothing, told);

    let pg = dev.pg();
    let audited = format!(
        "SELECT detail::text FROM audit WHERE action = 'tenant.update' AND tenant_id = '{}' ORDER BY id",
        acme.id
    );
    let audited = pg.texts(&pg.catalog, &audited).await;
    assert_eq!(audited.len(), 2, "a change that is none leaves no line");
    let detail: Value = serde_json::from_str(&audited[1]).expect("JSON");
    assert_eq!(detail["from"]["plan"], "free");
    assert_eq!(detail["to"]["plan"], "pro");
    assert_eq!(detail["from"]["metadata"]["crm"]["owner"], "ann");
    assert_eq!(detail["to"].get("limits"), None, "only what changed");
}

/// Tried with twice the bytes allowed for what comes of a merge.
#[tokio::test]
async fn what_is_wrong_is_named_and_bounds_hold_for_the_whole() {
    let dev = shared();
    let acme = dev.tenant("bounds").await;
    let (operator, path) = (dev.operator(), format!("/setup/tenants/{}", acme.id));
    let nested = |levels| (1..levels).fold(json!({}), |inner, _| json!({ "k": inner }));
    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "plan": "Not A Plan" }), "plan"),
        (json!({ "metadata": null }), "metadata"),
        (json!({ "metadata": nested(17) }), "metadata"),
        (json!({ "metadata": { "k": "\0" } }), "metadata"),
        (
            json!({ "limits": { "maxConnections": 0 } }),
            "limits.maxConnections",
        ),
        (
            json!({ "limits": { "maxConnections": 10_001 } }),
            "limits.maxConnections",
        ),
        (json!({ "limits": { "colour": 1 } }), "limits.colour"),
        (json!({ "slug": "other" }), "slug"),
    ] {
        let refused = operator.patch(&path, body.clone()).await;
        assert_eq!(refused.wrong_fields(), [field], "{body}");
    }
    // Each is small enough, both together are not.
    let half = "x".repeat(9 * 1024);
    let one = json!({ "metadata": { "one": half } });
    operator.patch(&path, one).await.expect(200);
    let two = json!({ "metadata": { "two": half } });
    let refused = operator.patch(&path, two.clone()).await;
    assert_eq!(refused.wrong_fields(), ["metadata"]);
    let instead = json!({ "metadata": { "one": null, "two": half } });
    operator.patch(&path, instead).await.expect(200);
    operator.delete(&path).await.expect(200);
    operator.patch(&path, two).await.problem(409, "WRONG_STATE");
}

/// The cap of both routers, after the call, with the connections that they had before.
/// Tried with the change not told to the routers: they have their cap of before.
#[tokio::test]
async fn a_limit_is_in_force_on_every_router_when_the_call_returns() {
    let dev = Dev::start();
    let serve = Serve::join(&dev, "second", &[]);
    let acme = dev.tenant("acme").await;
    let path = format!("/setup/tenants/{}", acme.id);
    let users = async || {
        for address in [dev.address(), serve.address()] {
            let client =
                tenantry_testkit::Client::new(address, &format!("{}.localhost", acme.slug));
            let client = client.bearer(acme.admin.token());
            let many = (0..4).map(|_| client.get("/users"));
            for answer in futures::future::join_all(many).await {
                answer.expect(200);
            }
        }
    };
    let caps = async || {
        let mut caps = Vec::new();
        for client in [dev.operator(), serve.base().bearer(&dev.operator_token())] {
            let told = client.get(&format!("{path}/explain")).await.expect(200);
            let routers = told["routers"].as_array().expect("routers").clone();
            let own = routers.iter().find(|router| router["answering"] == true);
            let pool = own.expect("the one that answers")["pool"].clone();
            caps.push((pool["cap"].as_u64(), pool["open"].as_u64()));
        }
        caps
    };
    users().await;
    assert!(caps().await.iter().all(|(cap, _)| *cap == Some(10)));
    let body = json!({ "limits": { "maxConnections": 1 } });
    let told = dev.operator().patch(&path, body).await.expect(200);
    assert_eq!(told["limits"]["maxConnections"], 1);
    assert!(caps().await.iter().all(|(cap, _)| *cap == Some(1)));
    // A closed one counts until the server has ended it.
    let ended = "those beyond it have ended";
    wait::until(Duration::from_secs(20), ended, async || {
        caps().await.iter().all(|(_, open)| *open == Some(1))
    })
    .await;
    users().await;
    assert_eq!(caps().await, [(Some(1), Some(1)), (Some(1), Some(1))]);
    let body = json!({ "limits": { "maxConnections": null } });
    let told = dev.operator().patch(&path, body).await.expect(200);
    assert_eq!(told["limits"]["maxConnections"], Value::Null);
    assert!(caps().await.iter().all(|(cap, _)| *cap == Some(10)));
}
