//! `tenantry tenants logins end`: `DELETE /setup/tenants/{id or slug}/logins/{login}`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct End {
    /// The tenant's id or slug
    tenant: String,
    /// The login's name
    login: String,
}

impl End {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let path = ["tenants", &self.tenant, "logins", &self.login];
        let ended = client.delete(&path, &[]).await?;
        match global.output {
            Output::Json => output::json(&ended),
            Output::Table if ended.get("dbUsername").is_none() => {
                let id = text(&ended, "operationId");
                output::line(&format!("It goes on: tenantry operations show {id}"))
            }
            Output::Table => output::line(&format!("{} lets nobody in any more.", self.login)),
        }
    }
}
