//! `tenantry operators create`: `POST /setup/operators`.

use clap::Args;
use serde_json::json;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, note, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Create {
    /// A name for the person or program
    name: String,
}

impl Create {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let created = client
            .post(&["operators"], Some(json!({ "name": self.name })), None)
            .await?;
        match global.output {
            Output::Json => output::json(&created),
            Output::Table => {
                output::fields([
                    ("id", Shape::Whole, text(&created, "operatorId")),
                    ("name", Shape::Text, text(&created, "name")),
                    ("token", Shape::Whole, text(&created, "token")),
                ])?;
                note("Keep the token now: it is not shown again.");
                Ok(())
            }
        }
    }
}
