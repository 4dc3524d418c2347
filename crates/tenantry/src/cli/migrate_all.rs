//! `tenantry migrate-all`: `POST /setup/rollouts`, followed to its end.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, note, text};

/// How often the operation is looked at.
const POLL: Duration = Duration::from_millis(300);
/// How long a server that does not answer is waited for: the rollout goes on without us.
const PATIENCE: Duration = Duration::from_secs(60);

/// No flags of its own.
#[derive(Args, Debug)]
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
        let operation = follow(&client, &id).await?;
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
                &["TENANT", "DATABASE", "OUTCOME", "MIGRATIONS", "ERROR"],
                rows.iter().map(|row| cells(row)),
            )?,
        }
        match text(&operation, "status").as_str() {
            "done" if failed == 0 => {
                let (migrated, current, skipped) = (count("migrated"), count("current"), count("skipped"));
                note(&format!("{} databases: {migrated} migrated, {current} current, {skipped} skipped.", rows.len()));
                Ok(())
            }
            "done" => Err(Failure::new(Exit::Failed, format!("{failed} of {} databases failed", rows.len()))
                .next("correct what the rows say and run `tenantry migrate-all` again: the others are not touched")),
            status => Err(Failure::new(Exit::Failed, format!("the rollout ended as {status}"))
                .with_problem(operation.clone())
                .next(format!("see operation {id} in the server's log"))),
        }
    }
}

/// Waits for the operation's end, telling of databases as they are reached.
async fn follow(client: &Client, id: &str) -> Result<Value> {
    let mut told = HashSet::new();
    let mut silent_since = None;
    loop {
        match client.get(&["operations", id], &[]).await {
            Ok(operation) => {
                silent_since = None;
                if !matches!(text(&operation, "status").as_str(), "running" | "undoing") {
                    return Ok(operation);
                }
                for row in databases(&operation) {
                    if told.insert(text(row, "database")) {
                        note(&cells(row).join("  "));
                    }
                }
            }
            // The server may be restarting; the operation is durable and goes on.
            Err(failure) if failure.exit() == Exit::Unavailable => {
                let since = *silent_since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > PATIENCE {
                    return Err(failure.next(format!(
                        "the rollout goes on in the server as operation {id}"
                    )));
                }
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(POLL).await;
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
