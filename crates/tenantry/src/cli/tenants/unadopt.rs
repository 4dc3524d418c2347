//! `tenantry tenants unadopt`: `POST /setup/tenants/{id or slug}/unadopt`, after a question.

use clap::Args;

use super::Waiting;
use crate::cli::confirm::{Confirm, Proof};
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Progress, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants unadopt acme
  tenantry tenants unadopt acme --yes             for a script";

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Unadopt {
    /// Its id or slug
    tenant: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    waiting: Waiting,
}

impl Unadopt {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let tenant = self.tenant.as_str();
        let what = format!("Give the database of tenant {tenant} back and forget the tenant");
        self.confirm.ask(&what, &Proof::Yes)?;
        let mut progress = Progress::of(&format!("Un-adopting tenant {tenant}"), global.output);
        let mut answer = client
            .post(&["tenants", tenant, "unadopt"], None, None)
            .await?;
        if answer.get("success").is_none() && !self.waiting.no_wait {
            let id = text(&answer, "operationId");
            let operation = follow::to_its_end(&client, &id, &mut progress).await?;
            match text(&operation, "status").as_str() {
                "done" => answer["success"] = true.into(),
                status => return Err(super::ended_as(status, &operation, &id)),
            }
        }
        drop(progress);
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table if answer.get("success").is_none() => super::print_begun(&answer),
            Output::Table => output::line(&format!(
                "Tenant {tenant} is forgotten; its database is its former owner's, as it was."
            )),
        }
    }
}
