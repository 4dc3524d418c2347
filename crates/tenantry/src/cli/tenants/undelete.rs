//! `tenantry tenants undelete`: `POST /setup/tenants/{id or slug}/undelete`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

const EXAMPLES: &str = "\
Example:
  tenantry tenants undelete acme";

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Undelete {
    /// Its id or slug
    tenant: String,
}

impl Undelete {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let tenant = client
            .post(&["tenants", &self.tenant, "undelete"], None, None)
            .await?;
        match global.output {
            Output::Json => output::json(&tenant),
            Output::Table => super::print(&tenant),
        }
    }
}
