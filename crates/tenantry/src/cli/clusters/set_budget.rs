//! `tenantry clusters set-budget`: `PATCH /setup/clusters/{id or name}`.

use clap::Args;
use serde_json::json;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct SetBudget {
    /// Its id or name
    cluster: String,
    /// How many connections may be open; the reserve for admin work and migrations is on top of it
    budget: u32,
}

impl SetBudget {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let body = json!({ "connectionBudget": self.budget });
        let answer = client
            .patch(&["clusters", self.cluster.as_str()], body)
            .await?;
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table => output::line(&format!(
                "The budget of {} is {} connections.",
                text(&answer, "name"),
                text(&answer, "connectionBudget")
            )),
        }
    }
}
