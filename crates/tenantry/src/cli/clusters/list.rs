//! `tenantry clusters list`: `GET /setup/clusters`.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, text};

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct List {}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let page = client.get(&["clusters"], &[]).await?;
        if global.output == Output::Json {
            return output::json(&page);
        }
        let row = |cluster: &Value| {
            let capacity = text(cluster, "capacity");
            let of = match capacity.is_empty() {
                true => String::new(),
                false => format!("/{capacity}"),
            };
            vec![
                text(cluster, "name"),
                text(cluster, "status"),
                format!("{}:{}", text(cluster, "host"), text(cluster, "port")),
                text(cluster, "region"),
                text(cluster, "weight"),
                format!("{}{of}", text(cluster, "tenants")),
                text(cluster, "connectionBudget"),
                text(cluster, "open"),
                text(cluster, "waiting"),
            ]
        };
        output::rows(
            &[
                ("CLUSTER", Shape::Whole),
                ("STATUS", Shape::State),
                ("ADDRESS", Shape::Text),
                ("REGION", Shape::Whole),
                ("WEIGHT", Shape::Whole),
                ("TENANTS", Shape::Whole),
                ("BUDGET", Shape::Whole),
                ("OPEN", Shape::Whole),
                ("WAITING", Shape::Whole),
            ],
            items(&page, "items").iter().map(row),
        )
    }
}
