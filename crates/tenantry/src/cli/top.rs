//! `tenantry top`: `GET /setup/top`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, text};

const EXAMPLES: &str = "\
Examples:
  tenantry top
  tenantry top --by connections
  tenantry top --by waits --output json | jq -r '.items[].slug'";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Top {
    /// What those with most are found by
    #[arg(long, value_enum, default_value_t)]
    by: By,
}

/// What tenants are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum By {
    /// Requests that had to wait for a connection
    Waits,
    /// Connections that are open
    Connections,
    /// Requests that got no connection
    #[default]
    Errors,
}

impl Top {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let by = match self.by {
            By::Waits => "waits",
            By::Connections => "connections",
            By::Errors => "errors",
        };
        let page = client.get(&["top"], &[("by", by.to_owned())]).await?;
        match global.output {
            Output::Json => output::json(&page),
            Output::Table => print(&page),
        }
    }
}

fn print(page: &Value) -> Result<()> {
    output::rows(
        &[
            ("SLUG", Shape::Whole),
            ("CONNECTIONS", Shape::Whole),
            ("WAITS", Shape::Whole),
            ("ERRORS", Shape::Whole),
            ("LAST ERROR", Shape::Text),
            ("ID", Shape::Whole),
        ],
        items(page, "items").iter().map(|tenant| {
            let last = tenant.get("lastError").unwrap_or(&Value::Null);
            vec![
                text(tenant, "slug"),
                text(tenant, "connections"),
                text(tenant, "waits"),
                text(tenant, "errors"),
                text(last, "reason"),
                text(tenant, "tenantId"),
            ]
        }),
    )
}
