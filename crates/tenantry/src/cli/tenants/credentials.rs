//! `tenantry tenants credentials`: `POST /setup/tenants/{id or slug}/credentials`.

use clap::Args;
use serde_json::{Value, json};

use super::Waiting;
use crate::cli::confirm::{Confirm, Proof};
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, Shape, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry tenants credentials acme                           the present login is good for another 24 hours
  tenantry tenants credentials acme --overlap 7d
  tenantry tenants credentials acme --overlap 0s --yes        it leaked: end it now, with its sessions";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Credentials {
    /// Its id or slug
    tenant: String,
    /// How long the present login stays good, at most 30d; `0s` ends it now, with its sessions
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    overlap: String,
    /// End a login now that is still good from an earlier call
    #[arg(long)]
    end_previous: bool,
    /// The same key gives the same answer within 24 hours instead of another login
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    waiting: Waiting,
}

impl Credentials {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let tenant = self.tenant.as_str();
        // What ends a login that somebody may be using is asked for.
        if self.end_previous || self.overlap.trim_end_matches(char::is_alphabetic) == "0" {
            let what = format!("End a database login of your product for tenant {tenant} now");
            self.confirm.ask(&what, &Proof::Yes)?;
        }
        let body = json!({ "overlap": self.overlap, "endPrevious": self.end_previous });
        let mut progress = Progress::of(&format!("Issuing a login for {tenant}"), global.output);
        let stopped = || {
            Failure::new(Exit::Interrupted, "stopped waiting; the server may go on").next(
                "another login can be issued with --end-previous; this one's password is told to nobody else",
            )
        };
        let path = ["tenants", tenant, "credentials"];
        let key = self.idempotency_key.as_deref();
        let asked = client.create(&path, body, key, self.waiting.no_wait);
        let mut answer = follow::unless_stopped(asked, stopped).await?;
        if answer.get("dbUsername").is_none() && !self.waiting.no_wait {
            answer = finished(&client, &answer, &mut progress).await?;
        }
        drop(progress);
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table if answer.get("dbUsername").is_none() => super::print_begun(&answer),
            Output::Table => print(&answer),
        }
    }
}

/// One that took longer than a request may: its operation tells the same answer.
async fn finished(client: &Client, begun: &Value, progress: &mut Progress) -> Result<Value> {
    let id = text(begun, "operationId");
    let mut operation = follow::to_its_end(client, &id, progress).await?;
    match text(&operation, "status").as_str() {
        "done" => Ok(operation["result"].take()),
        status => Err(super::ended_as(status, &operation, &id)),
    }
}

fn print(issued: &Value) -> Result<()> {
    let is = |name: &'static str| text(issued, name);
    output::fields([
        ("id", Shape::Whole, is("tenantId")),
        ("database", Shape::Whole, is("dbName")),
        ("host", Shape::Text, is("dbHost")),
        ("port", Shape::Text, is("dbPort")),
        ("login", Shape::Whole, is("dbUsername")),
        ("password", Shape::Whole, is("dbPassword")),
        ("former login", Shape::Whole, is("previousUsername")),
        ("good until", Shape::Time, is("previousValidUntil")),
        ("operation", Shape::Whole, is("operationId")),
    ])?;
    if !is("dbPassword").is_empty() {
        note("Keep the password now: it is not shown again.");
    }
    Ok(())
}
