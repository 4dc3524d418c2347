//! `tenantry operations cancel`: `POST /setup/operations/{id}/cancel`.

use clap::Args;
use serde_json::json;

use super::EXAMPLES;
use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Cancel {
    /// Its id
    #[arg(value_name = "ID")]
    operation: String,
    /// Why, for the audit trail
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
}

impl Cancel {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let id = self.operation.as_str();
        self.confirm.ask(
            &format!("Cancel operation {id} and undo what it has done"),
            &Proof::Yes,
        )?;
        let body = self.reason.map(|reason| json!({ "reason": reason }));
        let operation = client
            .post(&["operations", id, "cancel"], body, None)
            .await?;
        match global.output {
            Output::Json => output::json(&operation),
            Output::Table if text(&operation, "status") == "running" => output::line(&format!(
                "Operation {id} turns back: tenantry operations show {id} --wait"
            )),
            Output::Table => output::line(&format!("Operation {id} is cancelled and undone.")),
        }
    }
}
