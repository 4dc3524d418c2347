//! `tenantry tenants logins list`: `GET /setup/tenants/{id or slug}/logins`.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, text};

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct List {
    /// The tenant's id or slug
    tenant: String,
}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let path = ["tenants", &self.tenant, "logins"];
        let page = client.get(&path, &[]).await?;
        if global.output == Output::Json {
            return output::json(&page);
        }
        let row = |login: &Value| {
            ["dbUsername", "role", "connections", "askedBy", "expiresAt"]
                .map(|name| text(login, name))
                .to_vec()
        };
        output::rows(
            &[
                ("LOGIN", Shape::Whole),
                ("ROLE", Shape::Text),
                ("CONNECTIONS", Shape::Text),
                ("ASKED BY", Shape::Text),
                ("ENDS", Shape::Time),
            ],
            items(&page, "items").iter().map(row),
        )
    }
}
