//! `tenantry operations show`: `GET /setup/operations/{id}`.

use clap::Args;
use serde_json::Value;

use super::EXAMPLES;
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, Shape, items, note, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// Its id
    #[arg(value_name = "ID")]
    operation: String,
    /// Follow it to its end
    #[arg(long)]
    wait: bool,
}

impl Show {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let operation = if self.wait {
            let mut progress = Progress::of("Waiting for the operation", global.output);
            follow::to_its_end(&client, &self.operation, &mut progress).await?
        } else {
            client.get(&["operations", &self.operation], &[]).await?
        };
        match global.output {
            Output::Json => output::json(&operation)?,
            Output::Table => print(&operation)?,
        }
        match text(&operation, "status").as_str() {
            status @ ("failed" | "parked") if self.wait => Err(Failure::new(
                Exit::Failed,
                format!("the operation ended as {status}"),
            )
            .next("its error says why")),
            _ => Ok(()),
        }
    }
}

fn print(operation: &Value) -> Result<()> {
    let of = |pointer: &str| match operation.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let progress = match (of("/progress/done"), of("/progress/total")) {
        (done, total) if !total.is_empty() => format!("{done} of {total} databases"),
        _ => String::new(),
    };
    output::fields([
        ("id", Shape::Whole, of("/operationId")),
        ("kind", Shape::Whole, of("/kind")),
        ("status", Shape::State, of("/status")),
        ("tenant", Shape::Whole, of("/tenantId")),
        ("progress", Shape::Whole, progress),
        // Of a creation: told to whoever reads the operation first, so they must not be lost here.
        ("url", Shape::Text, of("/result/url")),
        ("login", Shape::Whole, of("/result/dbUsername")),
        ("password", Shape::Whole, of("/result/dbPassword")),
        ("admin password", Shape::Whole, of("/result/adminPassword")),
        ("error", Shape::Text, of("/error/message")),
        ("error code", Shape::Whole, of("/error/code")),
        ("created", Shape::Time, of("/createdAt")),
        ("finished", Shape::Time, of("/finishedAt")),
    ])?;
    if !of("/result/dbPassword").is_empty() {
        note("Keep the passwords now: they are not shown again.");
    }
    print_changes(operation)?;
    let steps = items(operation, "steps");
    if steps.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::rows(
        &[
            ("STEP", Shape::Whole),
            ("STATUS", Shape::State),
            ("CHANGED", Shape::Time),
        ],
        steps.iter().map(|step| {
            ["name", "status", "updatedAt"]
                .map(|name| text(step, name))
                .to_vec()
        }),
    )
}

/// What of the tenant is another than before, once both are known.
fn print_changes(operation: &Value) -> Result<()> {
    let (Some(before), Some(after)) = (
        operation["before"].as_object(),
        operation["after"].as_object(),
    ) else {
        return Ok(());
    };
    let told = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let changed: Vec<_> = after
        .iter()
        .filter(|(field, now)| before.get(*field) != Some(now))
        .map(|(field, now)| vec![field.clone(), told(before.get(field)), told(Some(now))])
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::rows(
        &[
            ("CHANGED", Shape::Whole),
            ("BEFORE", Shape::Text),
            ("AFTER", Shape::Text),
        ],
        changed,
    )
}
