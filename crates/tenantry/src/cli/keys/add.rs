//! `tenantry keys add`.

use clap::Args;
use serde_json::json;
use tenantry_vault::{KeyId, Purpose};

use super::{Of, Ring, key_id};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};

const EXAMPLES: &str = "\
Examples:
  tenantry keys add admin
  tenantry keys add route --standby       where several programs run: each must open it before one seals with it";

/// Which.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Add {
    /// What it is for
    purpose: Of,
    /// Its name [default: the first of k1, k2, … that was never used]
    #[arg(long, value_parser = key_id)]
    id: Option<KeyId>,
    /// Add it to open only; `keys promote` lets it seal when every program has it
    #[arg(long)]
    standby: bool,
}

impl Add {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let ring = Ring::open(global).await?;
        let purpose = Purpose::from(self.purpose);
        let used = ring.uses().await?;
        let names = ring.keys.names();
        let taken = |id: &KeyId| {
            names
                .iter()
                .any(|(of, other)| *of == purpose && other == id)
                || used
                    .iter()
                    .any(|used| used.purpose == purpose && used.key_id == id.as_str())
        };
        let id = match self.id {
            Some(id) if taken(&id) => {
                return Err(Failure::new(
                    Exit::Conflict,
                    format!(
                        "there is a {purpose} key `{id}`, or was one that still has secrets sealed"
                    ),
                )
                .next("choose another --id"));
            }
            Some(id) => id,
            None => (1..)
                .filter_map(|n: u32| KeyId::parse(&format!("k{n}")))
                .find(|id| !taken(id))
                .ok_or_else(|| Failure::new(Exit::Conflict, "no name is free"))?,
        };
        let keys = ring
            .keys
            .with_new(&ring.sources.entropy, purpose, id.clone(), self.standby)
            .map_err(|error| Failure::new(Exit::Conflict, chain(&error)))?;
        let state = if self.standby { "opens" } else { "seals" };
        ring.audit(
            "keys.add",
            &json!({ "purpose": purpose.as_str(), "id": id.as_str(), "standby": self.standby }),
        )
        .await?;
        ring.catalog.close().await;
        let done = match (self.standby, purpose) {
            (true, _) => format!(
                "The {purpose} key `{id}` opens what is sealed with it; `tenantry keys promote` lets it seal."
            ),
            (false, Purpose::Signing) => format!(
                "The {purpose} key `{id}` signs from the next start on; tokens of the former one are good to their end."
            ),
            (false, _) => format!(
                "The {purpose} key `{id}` seals from the next start on; `tenantry keys rewrap` then seals anew what older keys have."
            ),
        };
        let document = json!({ "purpose": purpose.as_str(), "id": id.as_str(), "state": state });
        ring.put(&keys, &done, document, global.output)
    }
}
