//! `/setup/clusters`, with two private servers: that of a `tenantry dev`, and one more.

mod placement;
mod preflight;
pub(crate) mod server;
mod tls;

use serde_json::Value;
use tenantry_testkit::{Answer, Dev};

/// The audit rows about clusters, the oldest first.
async fn audited(dev: &Dev) -> Vec<String> {
    let pg = dev.pg();
    let sql = "SELECT action FROM audit WHERE action LIKE 'cluster.%' ORDER BY at, id";
    pg.texts(&pg.catalog, sql).await
}

async fn cluster(dev: &Dev, name: &str) -> Value {
    let path = format!("/setup/clusters/{name}");
    dev.operator().get(&path).await.expect(200)
}

/// The findings of a refusal: which field, and the sentence.
#[track_caller]
fn findings(answer: &Answer) -> Vec<(String, String)> {
    let problem = answer.problem(422, "CLUSTER_UNFIT");
    let errors = problem["errors"].as_array().expect("errors");
    let text = |one: &Value, name: &str| one[name].as_str().expect("a text").to_owned();
    errors
        .iter()
        .map(|one| (text(one, "field"), text(one, "message")))
        .collect()
}
