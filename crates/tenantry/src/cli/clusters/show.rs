//! `tenantry clusters show`: `GET /setup/clusters/{id or name}`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Show {
    /// Its id or name
    cluster: String,
}

impl Show {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let cluster = client.get(&["clusters", &self.cluster], &[]).await?;
        match global.output {
            Output::Json => output::json(&cluster),
            Output::Table => super::print(&cluster),
        }
    }
}
