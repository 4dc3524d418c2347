//! `tenantry operations retry`: `POST /setup/operations/{id}/retry`.

use clap::Args;

use super::EXAMPLES;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Retry {
    /// Its id
    #[arg(value_name = "ID")]
    operation: String,
}

impl Retry {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let id = self.operation.as_str();
        let accepted = client
            .post(&["operations", id, "retry"], None, None)
            .await?;
        match global.output {
            Output::Json => output::json(&accepted),
            Output::Table => output::line(&format!(
                "Operation {id} goes on: tenantry operations follow {id}"
            )),
        }
    }
}
