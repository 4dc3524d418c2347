//! `tenantry audit denied`: `GET /setup/audit/denied`.

use clap::Args;
use serde_json::Value;

use super::Span;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output::{self, Output, Shape, items, text};

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Denied {
    #[command(flatten)]
    span: Span,
}

impl Denied {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let page = client.get(&["audit", "denied"], &self.span.query()).await?;
        if global.output == Output::Json {
            return output::json(&page);
        }
        let row = |one: &Value| {
            ["minute", "address", "code", "calls"]
                .map(|field| text(one, field))
                .to_vec()
        };
        output::rows(
            &[
                ("MINUTE", Shape::Time),
                ("FROM", Shape::Whole),
                ("ANSWER", Shape::Whole),
                ("CALLS", Shape::Whole),
            ],
            items(&page, "items").iter().map(row),
        )
    }
}
