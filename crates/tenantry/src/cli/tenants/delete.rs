//! `tenantry tenants delete`: `DELETE /setup/tenants/{id or slug}`, after a question.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, text};

/// Its own flags.
#[derive(Args, Debug)]
pub struct Delete {
    /// Its id or slug
    tenant: String,
    /// Remove the database now: it cannot be brought back
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Delete {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        if !self.yes {
            self.confirm()?;
        }
        let query = if self.purge {
            vec![("purge", "true".to_owned())]
        } else {
            Vec::new()
        };
        let answer = client.delete(&["tenants", &self.tenant], &query).await?;
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table => output::line(&self.told(&answer)),
        }
    }

    fn told(&self, answer: &Value) -> String {
        let Self { tenant, purge, .. } = self;
        let until = text(answer, "purgeAt");
        if answer.get("success").is_none() {
            let operation = text(answer, "operationId");
            format!("Tenant {tenant} is being deleted; operation {operation} tells how it goes.")
        } else if *purge || until.is_empty() {
            format!("Tenant {tenant} and its database are gone.")
        } else {
            format!(
                "Tenant {tenant} is deleted. Until {until} it can be brought back: tenantry tenants undelete {tenant}"
            )
        }
    }

    fn confirm(&self) -> Result<()> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(
                Failure::usage("nobody can be asked here whether to delete the tenant")
                    .next("give --yes if you are sure"),
            );
        }
        let (question, wanted) = if self.purge {
            (
                format!(
                    "Remove tenant {0} and its database for ever? Type `{0}` to go on: ",
                    self.tenant
                ),
                self.tenant.as_str(),
            )
        } else {
            (format!("Delete tenant {}? [y/N] ", self.tenant), "y")
        };
        let mut err = std::io::stderr();
        let mut answer = String::new();
        write!(err, "{question}")
            .and_then(|()| err.flush())
            .and_then(|()| std::io::stdin().lock().read_line(&mut answer))
            .map_err(|error| Failure::because("the answer cannot be read", &error))?;
        let answer = answer.trim();
        if answer == wanted || (!self.purge && answer.eq_ignore_ascii_case("yes")) {
            Ok(())
        } else {
            Err(Failure::new(
                crate::exit::Exit::Failed,
                "nothing was deleted",
            ))
        }
    }
}
