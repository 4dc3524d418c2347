//! `tenantry tenants aliases remove`: `DELETE /setup/tenants/{id or slug}/aliases`.

use clap::Args;

use super::Kind;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Remove {
    /// The tenant's id or slug
    tenant: String,
    /// The alias's id, or with --kind its identifier
    alias: String,
    /// Name the alias by kind and identifier
    #[arg(long)]
    kind: Option<Kind>,
}

impl Remove {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let which = match self.kind {
            None => vec![("aliasId", self.alias.clone())],
            Some(kind) => vec![
                ("kind", kind.word().to_owned()),
                ("value", self.alias.clone()),
            ],
        };
        let path = ["tenants", &self.tenant, "aliases"];
        let removed = client.delete(&path, &which).await?;
        match global.output {
            Output::Json => output::json(&removed),
            Output::Table => {
                output::line(&format!("{} leads to {} no more.", self.alias, self.tenant))
            }
        }
    }
}
