//! `tenantry tenants domains remove`: `DELETE /setup/tenants/{id or slug}/domains/{domain}`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Remove {
    /// The tenant's id or slug
    tenant: String,
    /// The domain
    domain: String,
}

impl Remove {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let path = ["tenants", &self.tenant, "domains", &self.domain];
        let domain = client.delete(&path, &[]).await?;
        match global.output {
            Output::Json => output::json(&domain),
            Output::Table => {
                let name = text(&domain, "domain");
                output::line(&format!("{name} leads to {} no more.", self.tenant))
            }
        }
    }
}
