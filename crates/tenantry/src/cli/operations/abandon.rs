//! `tenantry operations abandon`: `POST /setup/operations/{id}/abandon`.

use clap::Args;
use serde_json::json;

use super::EXAMPLES;
use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Abandon {
    /// Its id
    #[arg(value_name = "ID")]
    operation: String,
    /// Why, for the audit trail and for whoever meets what it left
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    confirm: Confirm,
}

impl Abandon {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let id = self.operation.as_str();
        self.confirm.ask(
            &format!("Give up operation {id} and leave what it has done half-way"),
            &Proof::Yes,
        )?;
        let body = json!({ "reason": self.reason });
        let operation = client
            .post(&["operations", id, "abandon"], Some(body), None)
            .await?;
        match global.output {
            Output::Json => output::json(&operation),
            Output::Table => output::line(&format!("Operation {id} is given up.")),
        }
    }
}
