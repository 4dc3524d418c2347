//! `tenantry operators list`: `GET /setup/operators`.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, text};

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct List {}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let page = client.get(&["operators"], &[]).await?;
        if global.output == Output::Json {
            return output::json(&page);
        }
        let row = |operator: &Value| {
            [
                "name",
                "role",
                "createdAt",
                "expiresAt",
                "lastUsedAt",
                "revokedAt",
                "operatorId",
            ]
            .map(|field| text(operator, field))
            .to_vec()
        };
        output::rows(
            &[
                ("NAME", Shape::Text),
                ("ROLE", Shape::Whole),
                ("CREATED", Shape::Time),
                ("EXPIRES", Shape::Time),
                ("LAST USED", Shape::Time),
                ("REVOKED", Shape::Time),
                ("ID", Shape::Whole),
            ],
            items(&page, "items").iter().map(row),
        )
    }
}
