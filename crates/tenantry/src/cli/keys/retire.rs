//! `tenantry keys retire`: refused while anything is sealed with the key.

use clap::Args;
use serde_json::json;
use tenantry_vault::{KeyId, Purpose};

use super::{Of, Ring, key_id, unknown};
use crate::cli::Global;
use crate::cli::confirm::{Confirm, Proof};
use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};

const EXAMPLES: &str = "\
Examples:
  tenantry keys retire admin k1
  tenantry keys retire signing k1 --yes      tokens that it signed are good no more";

/// Which.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Retire {
    /// What it is for
    purpose: Of,
    /// Its name
    #[arg(value_parser = key_id)]
    id: KeyId,
    #[command(flatten)]
    confirm: Confirm,
}

impl Retire {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let ring = Ring::open(global).await?;
        let (purpose, id) = (Purpose::from(self.purpose), self.id);
        unknown(&ring.keys, purpose, &id)?;
        let active = ring.keys.names().into_iter().find(|(of, _)| *of == purpose);
        if active.is_some_and(|(_, active)| active == id) {
            return Err(Failure::new(
                Exit::Conflict,
                format!("the {purpose} key `{id}` is the one that new secrets are made with"),
            )
            .next("add another first: `tenantry keys add`")
            .coded("KEY_ACTIVE"));
        }
        let uses = ring.uses().await?;
        let of = uses
            .iter()
            .filter(|used| used.purpose == purpose && used.key_id == id.as_str());
        let rows: Vec<_> = of.map(|used| (used.column.as_str(), used.rows)).collect();
        let count: i64 = rows.iter().map(|(_, rows)| rows).sum();
        if count > 0 {
            let where_: Vec<_> = rows
                .iter()
                .map(|(table, rows)| format!("{rows} in {table}"))
                .collect();
            return Err(Failure::new(
                Exit::Conflict,
                format!(
                    "{count} secrets are sealed with the {purpose} key `{id}` ({})",
                    where_.join(", ")
                ),
            )
            .next("seal them anew first: `tenantry keys rewrap`")
            .coded("KEY_IN_USE"));
        }
        let what = match purpose {
            Purpose::Signing => format!(
                "Remove the signing key {id}; whoever holds a token of it must sign in again"
            ),
            _ => format!(
                "Remove the {purpose} key {id}; backups of the catalog from before are sealed with it"
            ),
        };
        self.confirm.ask(&what, &Proof::Word(id.as_str()))?;
        let keys = ring
            .keys
            .without(purpose, &id)
            .map_err(|error| Failure::new(Exit::Conflict, chain(&error)))?;
        let detail = json!({ "purpose": purpose.as_str(), "id": id.as_str() });
        ring.audit("keys.retire", &detail).await?;
        ring.catalog.close().await;
        let done = format!(
            "The {purpose} key `{id}` is not among these. Keep it apart as long as you keep backups from its time."
        );
        let document =
            json!({ "purpose": purpose.as_str(), "id": id.as_str(), "state": "retired" });
        ring.put(&keys, &done, document, global.output)
    }
}
