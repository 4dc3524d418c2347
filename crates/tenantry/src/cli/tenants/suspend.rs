//! `tenantry tenants suspend`: `POST /setup/tenants/{id or slug}/suspend`, after a question.

use clap::Args;
use serde_json::json;

use super::Waiting;
use super::turned;
use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::client::Client;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry tenants suspend acme --reason 'The invoice of March is not paid.'
  tenantry tenants suspend acme --reason 'Breach of the terms.' --yes         for a script";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Suspend {
    /// Its id or slug
    tenant: String,
    /// Why: its people read this line
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    waiting: Waiting,
}

impl Suspend {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let tenant = self.tenant.as_str();
        let what = format!("Suspend tenant {tenant}, so that nobody reaches it");
        self.confirm.ask(&what, &Proof::Yes)?;
        let body = json!({ "reason": self.reason });
        let turn = turned::Turn {
            tenant,
            verb: "suspend",
            doing: "Suspending",
            waiting: self.waiting,
        };
        turn.run(&client, Some(body), global).await
    }
}
