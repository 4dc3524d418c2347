//! `tenantry clusters drain` and `accept`: `POST /setup/clusters/{id or name}/…`.

use clap::Args;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Drain {
    /// Its id or name
    cluster: String,
}

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Accept {
    /// Its id or name
    cluster: String,
}

impl Drain {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let answer = client
            .post(&["clusters", &self.cluster, "drain"], None, None)
            .await?;
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table => output::line(&format!(
                "The cluster {} takes no new tenants; those that are there are served as before.",
                text(&answer, "name")
            )),
        }
    }
}

impl Accept {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let answer = client
            .post(&["clusters", &self.cluster, "accept"], None, None)
            .await?;
        match global.output {
            Output::Json => output::json(&answer),
            Output::Table => output::line(&format!(
                "The cluster {} takes new tenants.",
                text(&answer, "name")
            )),
        }
    }
}
