//! `tenantry operations follow`: `GET /setup/operations/{id}/events`.

use clap::Args;
use serde_json::{Value, json};

use super::EXAMPLES;
use crate::cli::{Global, follow};
use crate::client::{Client, Event};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Follow {
    /// Its id
    #[arg(value_name = "ID")]
    operation: String,
}

impl Follow {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let id = self.operation.as_str();
        let following = async {
            let mut seen = String::new();
            loop {
                let mut stream = client.events(&["operations", id, "events"], &seen).await?;
                // A stream has an end of its own: then it is asked for again, behind what was told.
                while let Some(event) = stream.next().await? {
                    if !event.id.is_empty() {
                        seen.clone_from(&event.id);
                    }
                    if let Some(end) = told(&event, global.output)? {
                        return Ok(end);
                    }
                }
            }
        };
        let stopped = || {
            Failure::new(
                Exit::Interrupted,
                format!("stopped following operation {id}"),
            )
            .next("the operation goes on in the server")
        };
        match follow::unless_stopped(following, stopped).await?.as_str() {
            status @ ("failed" | "parked") => Err(Failure::new(
                Exit::Failed,
                format!("the operation ended as {status}"),
            )),
            _ => Ok(()),
        }
    }
}

/// Prints an event; of the last one the status that the operation has.
fn told(event: &Event, output: Output) -> Result<Option<String>> {
    let data: Value = serde_json::from_str(&event.data)
        .map_err(|error| Failure::because("the server sent an event that is no JSON", &error))?;
    let line = match (output, event.name.as_str()) {
        (Output::Json, name) => json!({ "event": name, "data": data }).to_string(),
        (Output::Table, "end") => [text(&data, "status"), text(&data, "message")].join("  "),
        (Output::Table, _) => {
            [text(&data, "at"), text(&data, "step"), text(&data, "event")].join("  ")
        }
    };
    output::line(line.trim_end())?;
    Ok((event.name == "end").then(|| text(&data, "status")))
}
