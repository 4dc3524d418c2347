//! `tenantry operators rotate`: `POST /setup/operators/{id or name}/rotate`.

use clap::Args;
use serde_json::json;

use super::tell_token;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Rotate {
    /// Their id or name
    operator: String,
    /// For how long the present token is good, too, e.g. 24h; at most 30d. Default: not at all
    #[arg(long)]
    overlap: Option<String>,
    /// For how long the new token is good, e.g. 90d
    #[arg(long)]
    ttl: Option<String>,
}

impl Rotate {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let mut body = json!({});
        if let Some(overlap) = self.overlap {
            body["overlap"] = json!(overlap);
        }
        if let Some(ttl) = self.ttl {
            body["ttl"] = json!(ttl);
        }
        let path = ["operators", self.operator.as_str(), "rotate"];
        let rotated = client.post(&path, Some(body), None).await?;
        tell_token(&rotated, global.output)
    }
}
