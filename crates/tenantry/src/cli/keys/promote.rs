//! `tenantry keys promote`.

use clap::Args;
use serde_json::json;
use tenantry_vault::{KeyId, Purpose};

use super::rewrap::held_by_routers;
use super::{Of, Ring, key_id, unknown};
use crate::cli::Global;
use crate::failure::{Failure, Result, chain};

const EXAMPLES: &str = "\
Example:
  tenantry keys promote route k2";

/// Which.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Promote {
    /// What it is for
    purpose: Of,
    /// Its name
    #[arg(value_parser = key_id)]
    id: KeyId,
}

impl Promote {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let ring = Ring::open(global).await?;
        let (purpose, id) = (Purpose::from(self.purpose), self.id);
        unknown(&ring.keys, purpose, &id)?;
        if purpose == Purpose::Route {
            held_by_routers(&ring, &id).await?;
        }
        let keys = ring
            .keys
            .promoting(purpose, &id)
            .map_err(|error| Failure::usage(chain(&error)))?;
        let detail = json!({ "purpose": purpose.as_str(), "id": id.as_str() });
        ring.audit("keys.promote", &detail).await?;
        ring.catalog.close().await;
        let done = format!("The {purpose} key `{id}` seals from the next start on.");
        let document = json!({ "purpose": purpose.as_str(), "id": id.as_str(), "state": "seals" });
        ring.put(&keys, &done, document, global.output)
    }
}
