//! `tenantry migrate-all`: `POST /setup/rollouts`, followed to its end.

use clap::Args;
use serde_json::{Value, json};

use super::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, Shape, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry migrate-all
  tenantry migrate-all --output json | jq '.result.items[] | select(.outcome == \"failed\")'

Ctrl-C stops watching, not the rollout: that goes on in the server.";

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MigrateAll {}

impl MigrateAll {
    /// Runs it.
    ///
    /// # Errors
    /// When it cannot be begun, or a database failed.
    pub async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let begun = client.post(&["rollouts"], Some(json!({})), None).await?;
        let id = text(&begun, "operationId");
        let mut progress = Progress::of(
            &format!("Migrating all databases, operation {id}"),
            global.output,
        );
        let operation = follow::to_its_end(&client, &id, &mut progress).await?;
        drop(progress);
        let rows = databases(&operation);
        let count = |outcome| {
            rows.iter()
                .filter(|row| text(row, "outcome") == outcome)
                .count()
        };
        let failed = count("failed");
        match global.output {
            Output::Json => output::json(&operation)?,
            Output::Table => output::rows(
                &[
                    ("TENANT", Shape::Whole),
                    ("DATABASE", Shape::Text),
                    ("OUTCOME", Shape::State),
                    ("MIGRATIONS", Shape::Whole),
                    ("ERROR", Shape::Text),
                ],
                rows.iter().map(|row| cells(row)),
            )?,
        }
        match text(&operation, "status").as_str() {
            "done" if failed == 0 => {
                let (migrated, current, skipped) = (count("migrated"), count("current"), count("skipped"));
                if global.output == Output::Table {
                    let s = if rows.len() == 1 { "" } else { "s" };
                    note(&format!("{} database{s}: {migrated} migrated, {current} current, {skipped} skipped.", rows.len()));
                }
                Ok(())
            }
            "done" => Err(Failure::new(Exit::Failed, format!("{failed} of {} databases failed", rows.len()))
                .next("correct what the rows say and run `tenantry migrate-all` again: the others are not touched")
                .coded("MIGRATIONS_FAILED")),
            status => Err(Failure::new(Exit::Failed, format!("the rollout ended as {status}"))
                .next(format!("`tenantry operations show {id}` tells at which step"))),
        }
    }
}

fn databases(operation: &Value) -> Vec<&Value> {
    operation
        .pointer("/result/items")
        .and_then(Value::as_array)
        .map(|rows| rows.iter().collect())
        .unwrap_or_default()
}

fn cells(row: &Value) -> Vec<String> {
    let (from, to) = (text(row, "from"), text(row, "to"));
    let migrations = if from.is_empty() && to.is_empty() {
        String::new()
    } else {
        format!("{from} -> {to}")
    };
    vec![
        text(row, "slug"),
        text(row, "database"),
        text(row, "outcome"),
        migrations,
        text(row, "error"),
    ]
}
