//! `tenantry tenants resume`: `POST /setup/tenants/{id or slug}/resume`.

use clap::Args;

use super::Waiting;
use super::turned;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;

const EXAMPLES: &str = "\
Example:
  tenantry tenants resume acme";

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Resume {
    /// Its id or slug
    tenant: String,
    #[command(flatten)]
    waiting: Waiting,
}

impl Resume {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let turn = turned::Turn {
            tenant: &self.tenant,
            verb: "resume",
            doing: "Resuming",
            waiting: self.waiting,
        };
        turn.run(&client, None, global).await
    }
}
