//! `tenantry routers list`: `GET /setup/routers`.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, text};

const EXAMPLES: &str = "\
Examples:
  tenantry routers list
  tenantry routers list --output json | jq '.items[] | {name, behindSeconds}'";

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct List {}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let page = client.get(&["routers"], &[]).await?;
        match global.output {
            Output::Json => output::json(&page),
            Output::Table => print(&page),
        }
    }
}

fn print(page: &Value) -> Result<()> {
    let all = items(page, "items");
    output::rows(
        &[
            ("ROUTER", Shape::Whole),
            ("STATE", Shape::State),
            ("LEASE UNTIL", Shape::Time),
            ("APPLIED", Shape::Whole),
            ("ACKNOWLEDGED", Shape::Whole),
            ("BEHIND", Shape::Text),
            ("STARTED", Shape::Time),
        ],
        all.iter().map(|router| {
            vec![
                text(router, "name"),
                state(router).to_owned(),
                text(router, "leaseUntil"),
                text(router, "applied"),
                text(router, "acknowledged"),
                behind(router),
                text(router, "startedAt"),
            ]
        }),
    )?;
    let on = all.iter().flat_map(|router| {
        let clusters = items(router, "clusters").iter();
        clusters.map(move |cluster| (text(router, "name"), cluster))
    });
    let on: Vec<_> = on.collect();
    if on.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::rows(
        &[
            ("ROUTER", Shape::Whole),
            ("CLUSTER", Shape::Whole),
            ("OPEN", Shape::Whole),
            ("SHARE", Shape::Whole),
            ("IDLE", Shape::Whole),
            ("IN USE", Shape::Whole),
            ("WAITING", Shape::Whole),
            ("SERVER", Shape::Text),
        ],
        on.into_iter().map(|(router, cluster)| {
            let mut row = vec![router, name_of(cluster)];
            row.extend(["open", "share", "idle", "leased", "waiting"].map(|of| text(cluster, of)));
            row.push(server(cluster));
            row
        }),
    )
}

fn state(router: &Value) -> &'static str {
    match router.get("live") == Some(&Value::Bool(true)) {
        true => "alive",
        false => "gone",
    }
}

/// `3 changes, 1.2 s`
fn behind(router: &Value) -> String {
    let changes = router.get("behindChanges").and_then(Value::as_i64);
    let Some(changes) = changes.filter(|changes| *changes > 0) else {
        return "nothing".to_owned();
    };
    let seconds = router.get("behindSeconds").and_then(Value::as_f64);
    let seconds = seconds.map(|seconds| format!(", {seconds:.1} s"));
    let plural = if changes == 1 { "" } else { "s" };
    format!("{changes} change{plural}{}", seconds.unwrap_or_default())
}

fn name_of(cluster: &Value) -> String {
    match text(cluster, "name") {
        name if name.is_empty() => text(cluster, "clusterId"),
        name => name,
    }
}

/// How a cluster's server was met last.
pub(in crate::cli) fn server(cluster: &Value) -> String {
    let since = text(cluster, "unreachableSince");
    let breaker = text(cluster, "breaker");
    match (since.is_empty(), breaker.as_str()) {
        (true, "" | "closed") => "answers".to_owned(),
        (true, breaker) => format!("circuit {}", breaker.replace('_', " ")),
        (false, _) => format!("not reached since {since}"),
    }
}
