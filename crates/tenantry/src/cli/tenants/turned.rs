//! Suspending and resuming: what is asked, how it is waited for, and what is told.

use serde_json::Value;

use super::Waiting;
use crate::cli::{Global, follow};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Progress, text};

/// One of the two.
pub(super) struct Turn<'a> {
    pub(super) tenant: &'a str,
    /// The last part of the path.
    pub(super) verb: &'static str,
    /// What people are shown meanwhile.
    pub(super) doing: &'static str,
    pub(super) waiting: Waiting,
}

impl Turn<'_> {
    pub(super) async fn run(
        self,
        client: &Client,
        body: Option<Value>,
        global: &Global,
    ) -> Result<()> {
        let tenant = self.tenant;
        let mut progress = Progress::of(&format!("{} tenant {tenant}", self.doing), global.output);
        let stopped = || {
            Failure::new(
                Exit::Interrupted,
                "stopped waiting; it goes on in the server",
            )
            .next(format!(
                "`tenantry tenants show {tenant}` tells how far it is"
            ))
        };
        let path = ["tenants", tenant, self.verb];
        let asked = client.post(&path, body, None);
        let mut answer = follow::unless_stopped(asked, stopped).await?;
        if answer.get("slug").is_none() && !self.waiting.no_wait {
            answer = finished(client, &answer, &mut progress).await?;
        }
        drop(progress);
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table if answer.get("slug").is_none() => super::print_begun(&answer),
            Output::Table => super::print(&answer),
        }
    }
}

/// One that took longer than a request may, told as if it had not.
async fn finished(client: &Client, begun: &Value, progress: &mut Progress) -> Result<Value> {
    let id = text(begun, "operationId");
    let operation = follow::to_its_end(client, &id, progress).await?;
    match text(&operation, "status").as_str() {
        "done" => {
            let tenant = text(begun, "tenantId");
            client.get(&["tenants", &tenant], &[]).await
        }
        status => Err(super::ended_as(status, &operation, &id)),
    }
}
