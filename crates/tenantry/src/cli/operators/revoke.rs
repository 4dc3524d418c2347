//! `tenantry operators revoke`: `DELETE /setup/operators/{id or name}`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

/// Its own arguments.
#[derive(Args, Debug)]
pub struct Revoke {
    /// Their id or name
    operator: String,
}

impl Revoke {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let answer = client.delete(&["operators", &self.operator], &[]).await?;
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table => output::line(&format!("The token of {} is revoked.", self.operator)),
        }
    }
}
