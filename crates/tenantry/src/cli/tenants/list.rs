//! `tenantry tenants list`: `GET /setup/tenants`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use tenantry_catalog::tenants::Status;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants list
  tenantry tenants list --status deleting --limit 10
  tenantry tenants list --search acme --output json | jq -r '.items[].slug'";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// Only those in this state
    #[arg(long, value_parser = states())]
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

/// The words for the state of a tenant, so that the shell completes them.
fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(Status::ALL.iter().map(|status| status.as_str()))
}

fn print(page: &Value) -> Result<()> {
    let row = |tenant: &Value| {
        ["slug", "name", "status", "plan", "url", "tenantId"]
            .map(|field| text(tenant, field))
            .to_vec()
    };
    output::rows(
        &[
            ("SLUG", Shape::Whole),
            ("NAME", Shape::Text),
            ("STATUS", Shape::State),
            ("PLAN", Shape::Text),
            ("URL", Shape::Text),
            ("ID", Shape::Whole),
        ],
        items(page, "items").iter().map(row),
    )?;
    let next = text(page, "nextCursor");
    if !next.is_empty() {
        note(&format!("There are more: --cursor {next}"));
    }
    Ok(())
}
