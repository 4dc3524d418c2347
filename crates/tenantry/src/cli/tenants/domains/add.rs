//! `tenantry tenants domains add`: `PUT /setup/tenants/{id or slug}/domains/{domain}`.

use clap::Args;
use serde_json::json;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{Output, note, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Add {
    /// The tenant's id or slug
    tenant: String,
    /// The domain, of two labels or more and outside the base domains
    domain: String,
    /// Show it in the tenant's URL, once it is verified
    #[arg(long, conflicts_with = "no_primary")]
    primary: bool,
    /// Show the subdomain in the tenant's URL again
    #[arg(long)]
    no_primary: bool,
}

impl Add {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let path = ["tenants", &self.tenant, "domains", &self.domain];
        let body = match (self.primary, self.no_primary) {
            (false, false) => json!({}),
            (primary, _) => json!({ "primary": primary }),
        };
        let domain = client.put(&path, body).await?;
        super::print(&domain, global.output)?;
        if global.output == Output::Table && text(&domain, "state") == "pending" {
            let Self { tenant, domain, .. } = &self;
            note(&format!(
                "Set the record and leave it in place, then: tenantry tenants domains verify {tenant} {domain}"
            ));
        }
        Ok(())
    }
}
