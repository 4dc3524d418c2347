//! `tenantry audit list`: `GET /setup/audit`.

use clap::Args;
use serde_json::Value;

use super::Which;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, note, text};

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct List {
    #[command(flatten)]
    which: Which,
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
        let mut query = self.which.query();
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        let page = client.get(&["audit"], &query).await?;
        match global.output {
            Output::Json => output::json(&page),
            Output::Table => print(&page),
        }
    }
}

fn print(page: &Value) -> Result<()> {
    let row = |line: &Value| {
        [
            "at", "actor", "action", "outcome", "tenantId", "address", "reason",
        ]
        .map(|field| text(line, field))
        .to_vec()
    };
    output::rows(
        &[
            ("WHEN", Shape::Time),
            ("BY", Shape::Text),
            ("WHAT", Shape::Whole),
            ("OUTCOME", Shape::State),
            ("TENANT", Shape::Whole),
            ("FROM", Shape::Whole),
            ("WHY", Shape::Text),
        ],
        items(page, "items").iter().map(row),
    )?;
    let next = text(page, "nextCursor");
    if !next.is_empty() {
        note(&format!("There are more: --cursor {next}"));
    }
    Ok(())
}
