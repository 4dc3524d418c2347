//! `tenantry operators revoke`: `DELETE /setup/operators/{id or name}`, after a question.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, items, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Revoke {
    /// Their id or name
    operator: String,
    #[command(flatten)]
    confirm: Confirm,
}

impl Revoke {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let whom = self.operator.as_str();
        if !self.confirm.is_given() {
            self.ask(&client).await?;
        }
        let answer = client.delete(&["operators", whom], &[]).await?;
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table => output::line(&format!("The token of {whom} is revoked.")),
        }
    }

    /// Who revokes the token they work with is told so, and cannot do it by habit.
    async fn ask(&self, client: &Client) -> Result<()> {
        let whom = self.operator.as_str();
        let me = text(&client.get(&["status"], &[]).await?, "operator");
        let all = client.get(&["operators"], &[]).await?;
        let mine = whom == me
            || items(&all, "items").iter().any(|one: &Value| {
                text(one, "name") == me && text(one, "operatorId").eq_ignore_ascii_case(whom)
            });
        if mine {
            let what = format!(
                "Revoke the token of {whom}, which is the one you are using: this command is the last it does"
            );
            return self.confirm.ask(&what, &Proof::Word(whom));
        }
        self.confirm
            .ask(&format!("Revoke the token of {whom}, at once"), &Proof::Yes)
    }
}
