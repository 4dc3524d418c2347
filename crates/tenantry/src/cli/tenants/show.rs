//! `tenantry tenants show`: `GET /setup/tenants/{id or slug}`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

const EXAMPLES: &str = "\
Example:
  tenantry tenants show acme";

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// Its id or slug
    tenant: String,
}

impl Show {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let tenant = client.get(&["tenants", &self.tenant], &[]).await?;
        match global.output {
            Output::Json => output::json(&tenant),
            Output::Table => super::print(&tenant),
        }
    }
}
