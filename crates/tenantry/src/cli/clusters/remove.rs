//! `tenantry clusters remove`: `DELETE /setup/clusters/{id or name}`, after a question.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, items, note, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Remove {
    /// Its id or name
    cluster: String,
    /// Forget a server that does not answer, with what is left there
    #[arg(long)]
    abandon: bool,
    #[command(flatten)]
    confirm: Confirm,
}

impl Remove {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let what = format!("Remove the cluster {}", self.cluster);
        self.confirm.ask(&what, &Proof::Yes)?;
        let query = match self.abandon {
            true => vec![("abandon", "true".to_owned())],
            false => Vec::new(),
        };
        let answer = client.delete(&["clusters", &self.cluster], &query).await?;
        if global.output == Output::Json {
            return output::json(&answer);
        }
        output::line(&format!(
            "The cluster {} is removed.",
            text(&answer, "name")
        ))?;
        let left = items(&answer, "left");
        if !left.is_empty() {
            note("What is left on its server is yours to drop:");
            for one in left.iter().filter_map(Value::as_str) {
                note(&format!("  {one}"));
            }
        }
        Ok(())
    }
}
