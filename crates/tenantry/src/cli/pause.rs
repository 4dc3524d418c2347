//! `tenantry pause` and `tenantry resume`: `POST` and `DELETE /setup/pause`.

use clap::Args;
use serde_json::{Value, json};

use super::Global;
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, harmless, items, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry pause --reason 'A cluster is being restored.'
  tenantry status                                          tells who has paused, since when and why
  tenantry resume

Tenants are served as before. Exit codes: 0 it is so in every process, 1 not in all of them yet.";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Pause {
    /// Why: whoever is refused meanwhile reads this line
    #[arg(long)]
    reason: String,
}

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Resume {}

impl Pause {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let body = json!({ "reason": self.reason });
        let now = client.post(&["pause"], Some(body), None).await?;
        if global.output == Output::Table {
            let of = |field| harmless(&text(&now["pause"], field));
            output::line(&format!(
                "All background work is paused, by {} since {}: {}",
                of("askedBy"),
                of("since"),
                of("reason"),
            ))?;
            if text(&now["pause"], "reason") != self.reason.trim() {
                note(
                    "It was paused before, and that reason stays; `tenantry resume` first, for another.",
                );
            }
        }
        told(&now, global)
    }
}

impl Resume {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let now = client.delete(&["pause"], &[]).await?;
        if global.output == Output::Table {
            output::line("Background work goes on.")?;
        }
        told(&now, global)
    }
}

/// The document, and which processes are not there yet.
fn told(now: &Value, global: &Global) -> Result<()> {
    if global.output == Output::Json {
        output::json(now)?;
    }
    if now["everywhere"] == true {
        return Ok(());
    }
    for one in items(now, "replicas") {
        let name = harmless(&text(one, "name"));
        let at_work: Vec<_> = items(one, "atWork")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        if one["heard"] != true {
            note(&format!("{name} has not heard of it yet."));
        } else if now["paused"] == true && !at_work.is_empty() {
            note(&format!(
                "{name} is still in the middle of: {}.",
                harmless(&at_work.join(", "))
            ));
        }
    }
    Err(
        Failure::new(Exit::Failed, "it is not so in every process yet")
            .next("run it again: it waits once more; `GET /setup/pause` tells how far it is"),
    )
}
