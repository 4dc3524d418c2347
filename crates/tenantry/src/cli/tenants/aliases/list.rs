//! `tenantry tenants aliases list`: `GET /setup/tenants/{id or slug}/aliases`.

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
        let page = client
            .get(&["tenants", &self.tenant, "aliases"], &[])
            .await?;
        if global.output == Output::Json {
            return output::json(&page);
        }
        let row = |alias: &Value| {
            ["kind", "value", "createdAt", "aliasId"]
                .map(|field| text(alias, field))
                .to_vec()
        };
        output::rows(
            &[
                ("KIND", Shape::Text),
                ("VALUE", Shape::Whole),
                ("CREATED", Shape::Time),
                ("ID", Shape::Whole),
            ],
            items(&page, "items").iter().map(row),
        )
    }
}
