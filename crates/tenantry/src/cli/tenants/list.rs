//! `tenantry tenants list`: `GET /setup/tenants`.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, note, text};

/// Its own flags.
#[derive(Args, Debug)]
pub struct List {
    /// Only those in this state: active, suspended, deleting, …
    #[arg(long)]
    status: Option<String>,
    /// Only those whose name or slug holds this
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let query: Vec<(&str, String)> = [
            ("status", self.status),
            ("search", self.search),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("cursor", self.cursor),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let page = client.get(&["tenants"], &query).await?;
        match global.output {
            Output::Json => output::json(&page),
            Output::Table => print(&page),
        }
    }
}

fn print(page: &Value) -> Result<()> {
    let items = page
        .get("items")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let row = |tenant: &Value| {
        ["slug", "name", "status", "plan", "url", "tenantId"]
            .map(|field| text(tenant, field))
            .to_vec()
    };
    output::rows(
        &["SLUG", "NAME", "STATUS", "PLAN", "URL", "ID"],
        items.iter().map(row),
    )?;
    let next = text(page, "nextCursor");
    if !next.is_empty() {
        note(&format!("There are more: --cursor {next}"));
    }
    Ok(())
}
