//! `tenantry tenants domains verify`: `POST /setup/tenants/{id or slug}/domains/{domain}/verify`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Verify {
    /// The tenant's id or slug
    tenant: String,
    /// The domain
    domain: String,
}

impl Verify {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let path = ["tenants", &self.tenant, "domains", &self.domain, "verify"];
        let domain = client.post(&path, None, None).await?;
        super::print(&domain, global.output)
    }
}
