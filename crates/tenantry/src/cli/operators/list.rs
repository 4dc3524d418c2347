//! `tenantry operators list`: `GET /setup/operators`.

use clap::Args;
use serde_json::Value;

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, text};

/// No flags of its own.
#[derive(Args, Debug)]
pub struct List {}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let page = client.get(&["operators"], &[]).await?;
        if global.output == Output::Json {
            return output::json(&page);
        }
        let items = page
            .get("items")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let row = |operator: &Value| {
            ["name", "createdAt", "revokedAt", "operatorId"]
                .map(|field| text(operator, field))
                .to_vec()
        };
        output::rows(&["NAME", "CREATED", "REVOKED", "ID"], items.iter().map(row))
    }
}
