//! `tenantry operators create`: `POST /setup/operators`.

use clap::Args;
use serde_json::json;

use super::role::Role;
use super::tell_token;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Create {
    /// A name for the person or program
    name: String,
    /// What they may do
    #[arg(long, value_enum, default_value = "operator")]
    role: Role,
    /// For how long the token is good: 1h, 30d, up to 366d; `never` for an owner only. Default: `never` for
    /// an owner, else 90d
    #[arg(long)]
    ttl: Option<String>,
}

impl Create {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let mut body = json!({ "name": self.name, "role": self.role.as_str() });
        if let Some(ttl) = self.ttl {
            body["ttl"] = json!(ttl);
        }
        let created = client.post(&["operators"], Some(body), None).await?;
        tell_token(&created, global.output)
    }
}
