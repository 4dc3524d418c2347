//! `tenantry tenants delete`: `DELETE /setup/tenants/{id or slug}`, after a question.

use clap::Args;
use serde_json::{Value, json};

use super::Waiting;
use crate::cli::confirm::{Confirm, Proof};
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, relative, terminal, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants delete acme                   asks; comes back with `tenants undelete acme`
  tenantry tenants delete acme --purge           asks for the slug; never comes back
  tenantry tenants delete acme --yes             for a script";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Delete {
    /// Its id or slug
    tenant: String,
    /// Remove the database now: it cannot be brought back
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    waiting: Waiting,
}

impl Delete {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let tenant = self.tenant.as_str();
        if self.purge {
            let what = format!("Remove tenant {tenant} and its database for ever");
            self.confirm.ask(&what, &Proof::Word(tenant))?;
        } else {
            self.confirm
                .ask(&format!("Delete tenant {tenant}"), &Proof::Yes)?;
        }
        let query = if self.purge {
            vec![("purge", "true".to_owned())]
        } else {
            Vec::new()
        };
        let mut progress = Progress::of(&format!("Deleting tenant {tenant}"), global.output);
        let stopped = || {
            Failure::new(
                Exit::Interrupted,
                "stopped waiting; the deletion goes on in the server",
            )
            .next(format!(
                "`tenantry tenants show {tenant}` tells how far it is"
            ))
        };
        let path = ["tenants", tenant];
        let asked = client.end(&path, &query, self.waiting.no_wait);
        let mut answer = follow::unless_stopped(asked, stopped).await?;
        if answer.get("success").is_none() && !self.waiting.no_wait {
            answer = self.finished(&client, &answer, &mut progress).await?;
        }
        drop(progress);
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table if answer.get("success").is_none() => super::print_begun(&answer),
            Output::Table => output::line(&self.told(&answer)),
        }
    }

    /// A deletion that took longer than a request may, told as if it had not.
    async fn finished(
        &self,
        client: &Client,
        begun: &Value,
        progress: &mut Progress,
    ) -> Result<Value> {
        let id = text(begun, "operationId");
        let operation = follow::to_its_end(client, &id, progress).await?;
        let status = text(&operation, "status");
        if status != "done" {
            return Err(super::ended_as(&status, &operation, &id));
        }
        let mut answer = json!({
            "success": true, "tenantId": begun.get("tenantId"), "operationId": id,
        });
        match client
            .get(&["tenants", &text(begun, "tenantId")], &[])
            .await
        {
            Ok(tenant) => {
                if let Some(at) = tenant.get("purgeAt") {
                    answer["purgeAt"] = at.clone();
                }
            }
            Err(failure) if failure.exit() == Exit::NotFound => {}
            Err(failure) => return Err(failure),
        }
        Ok(answer)
    }

    fn told(&self, answer: &Value) -> String {
        let Self { tenant, purge, .. } = self;
        let until = text(answer, "purgeAt");
        if *purge || until.is_empty() {
            return format!("Tenant {tenant} and its database are gone.");
        }
        let now = tenantry_types::Clock::system().now();
        let when = relative(&until, now).filter(|_| terminal().out.terminal);
        let when = when.map_or(format!("at {until}"), |when| format!("{when} ({until})"));
        format!(
            "Tenant {tenant} is deleted. It will be purged {when}; until then it can be brought back: tenantry tenants undelete {tenant}"
        )
    }
}
