//! `tenantry tenants domains list`: `GET /setup/tenants/{id or slug}/domains`.

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
        let path = ["tenants", &self.tenant, "domains"];
        let page = client.get(&path, &[]).await?;
        if global.output == Output::Json {
            return output::json(&page);
        }
        let row = |domain: &Value| {
            let check = domain.get("lastCheck");
            let primary = domain.get("primary") == Some(&Value::Bool(true));
            vec![
                text(domain, "domain"),
                text(domain, "state"),
                if primary { "primary" } else { "" }.to_owned(),
                check.map_or_else(String::new, |check| text(check, "outcome")),
                text(domain, "nextCheckAt"),
            ]
        };
        output::rows(
            &[
                ("DOMAIN", Shape::Whole),
                ("STATE", Shape::State),
                ("PRIMARY", Shape::Text),
                ("LAST CHECK", Shape::Text),
                ("NEXT CHECK", Shape::Time),
            ],
            items(&page, "items").iter().map(row),
        )
    }
}
