//! `tenantry operations list`: `GET /setup/operations`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use tenantry_catalog::operations::Status;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry operations list
  tenantry operations list --status parked
  tenantry operations list --tenant acme --kind migrate --output json";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// Only those that stand so
    #[arg(long, value_parser = states())]
    status: Option<String>,
    /// Only those that do this
    #[arg(long, value_parser = kinds())]
    kind: Option<String>,
    /// Only those of this tenant: its id or slug
    #[arg(long)]
    tenant: Option<String>,
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
            ("kind", self.kind),
            ("tenant", self.tenant),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("cursor", self.cursor),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let page = client.get(&["operations"], &query).await?;
        match global.output {
            Output::Json => output::json(&page),
            Output::Table => print(&page),
        }
    }
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(tenantry_lifecycle::shapes().iter().map(|kind| kind.name))
}

fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(Status::ALL.iter().map(|status| status.as_str()))
}

fn print(page: &Value) -> Result<()> {
    output::rows(
        &[
            ("ID", Shape::Whole),
            ("KIND", Shape::Whole),
            ("STATUS", Shape::State),
            ("TENANT", Shape::Whole),
            ("BY", Shape::Text),
            ("CREATED", Shape::Time),
        ],
        items(page, "items").iter().map(|operation| {
            [
                "operationId",
                "kind",
                "status",
                "tenantId",
                "askedBy",
                "createdAt",
            ]
            .map(|field| text(operation, field))
            .to_vec()
        }),
    )?;
    let next = text(page, "nextCursor");
    if !next.is_empty() {
        note(&format!("There are more: --cursor {next}"));
    }
    Ok(())
}
