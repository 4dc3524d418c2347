//! `tenantry operators update`: `PATCH /setup/operators/{id or name}`.

use clap::{ArgGroup, Args};
use serde_json::json;

use super::role::Role;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub struct Update {
    /// Their id or name
    operator: String,
    /// What they may do
    #[arg(long, group = "change", value_enum)]
    role: Option<Role>,
    /// For how long from now on their token is good, e.g. 30d; `never` for an owner only
    #[arg(long, group = "change")]
    ttl: Option<String>,
}

impl Update {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let mut body = json!({});
        if let Some(role) = self.role {
            body["role"] = json!(role.as_str());
        }
        if let Some(ttl) = self.ttl {
            body["ttl"] = json!(ttl);
        }
        let path = ["operators", self.operator.as_str()];
        let updated = client.patch(&path, body).await?;
        match global.output {
            Output::Json => output::json(&updated),
            Output::Table => output::fields([
                ("id", Shape::Whole, text(&updated, "operatorId")),
                ("name", Shape::Text, text(&updated, "name")),
                ("role", Shape::Whole, text(&updated, "role")),
                ("expires", Shape::Time, text(&updated, "expiresAt")),
            ]),
        }
    }
}
