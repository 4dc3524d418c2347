//! `tenantry rotate-credentials`: `POST /setup/tenants/{id or slug}/rotate-credentials` for one tenant,
//! `POST /setup/rotations` for all, followed to its end.

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, Shape, items, note, text};

const EXAMPLES: &str = "\
Examples:
  tenantry rotate-credentials acme
  tenantry rotate-credentials --all --jitter 10m
  tenantry rotate-credentials --all --output json | jq '.result.items[] | select(.outcome == \"failed\")'

Ctrl-C stops watching, not the rotation: that goes on in the server.";

/// Whose.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("whose").required(true))]
pub struct RotateCredentials {
    /// A tenant's id or slug
    #[arg(group = "whose")]
    tenant: Option<String>,
    /// All active tenants, a few at a time
    #[arg(long, group = "whose")]
    all: bool,
    /// Spread them over this long, each at a moment of its own, at most 30d
    #[arg(long, value_name = "DURATION", requires = "all")]
    jitter: Option<String>,
}

impl RotateCredentials {
    /// Runs it.
    ///
    /// # Errors
    /// When it cannot be begun, or a tenant failed.
    pub async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        match &self.tenant {
            Some(tenant) => one(&client, global, tenant).await,
            None => self.everybody(&client, global).await,
        }
    }

    async fn everybody(&self, client: &Client, global: &Global) -> Result<()> {
        let body = match &self.jitter {
            Some(jitter) => json!({ "jitter": jitter }),
            None => json!({}),
        };
        let begun = client.post(&["rotations"], Some(body), None).await?;
        let id = text(&begun, "operationId");
        let mut progress = Progress::of(
            &format!("Rotating the logins of all tenants, operation {id}"),
            global.output,
        );
        let operation = follow::to_its_end(client, &id, &mut progress).await?;
        drop(progress);
        let none = Value::Null;
        let rows = items(operation.get("result").unwrap_or(&none), "items");
        let count = |outcome| {
            let of = |row: &&Value| text(row, "outcome") == outcome;
            rows.iter().filter(of).count()
        };
        match global.output {
            Output::Json => output::json(&operation)?,
            Output::Table => output::rows(
                &[
                    ("TENANT", Shape::Whole),
                    ("OUTCOME", Shape::State),
                    ("ERROR", Shape::Text),
                ],
                rows.iter().map(|row| {
                    ["slug", "outcome", "error"]
                        .map(|key| text(row, key))
                        .to_vec()
                }),
            )?,
        }
        let failed = count("failed");
        match text(&operation, "status").as_str() {
            "done" if failed == 0 => {
                if global.output == Output::Table {
                    let (rotated, skipped) = (count("rotated"), count("skipped"));
                    let s = if rows.len() == 1 { "" } else { "s" };
                    note(&format!("{} tenant{s}: {rotated} rotated, {skipped} skipped.", rows.len()));
                }
                Ok(())
            }
            "done" => Err(Failure::new(Exit::Failed, format!("{failed} of {} tenants failed", rows.len()))
                .next("they are served by their former logins; correct what the rows say and rotate each again")
                .coded("ROTATIONS_FAILED")),
            status => Err(Failure::new(Exit::Failed, format!("the rotation ended as {status}"))
                .next(format!("`tenantry operations show {id}` tells at which step"))),
        }
    }
}

async fn one(client: &Client, global: &Global, tenant: &str) -> Result<()> {
    let mut progress = Progress::of(&format!("Rotating the login of {tenant}"), global.output);
    let path = ["tenants", tenant, "rotate-credentials"];
    let stopped = || {
        Failure::new(
            Exit::Interrupted,
            "stopped waiting; the rotation goes on in the server",
        )
    };
    let asked = client.post(&path, None, None);
    let mut answer = follow::unless_stopped(asked, stopped).await?;
    if answer.get("success").is_none() {
        let id = text(&answer, "operationId");
        let operation = follow::to_its_end(client, &id, &mut progress).await?;
        let status = text(&operation, "status");
        if status != "done" {
            return Err(super::tenants::ended_as(&status, &operation, &id));
        }
        answer = json!({
            "success": true, "tenantId": answer.get("tenantId"), "operationId": id,
        });
    }
    drop(progress);
    match global.output {
        Output::Json => output::json(&answer),
        Output::Table => output::line(&format!(
            "The routers' login of tenant {tenant} is another one; the former lets nobody in."
        )),
    }
}
