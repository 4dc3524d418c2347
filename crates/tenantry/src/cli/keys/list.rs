//! `tenantry keys list`.

use clap::Args;
use serde_json::{Value, json};
use tenantry_vault::Purpose;

use super::Ring;
use crate::cli::Global;
use crate::failure::Result;
use crate::output::{self, Output, Shape, text};

const EXAMPLES: &str = "\
Examples:
  tenantry keys list
  tenantry keys list --output json | jq '.items[] | select(.state == \"opens\" and .secrets == 0)'";

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct List {}

impl List {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let ring = Ring::open(global).await?;
        let uses = ring.uses().await?;
        let sealed = |purpose: Purpose, id: &str| -> i64 {
            let of = uses
                .iter()
                .filter(|used| used.purpose == purpose && used.key_id == id);
            of.map(|used| used.rows).sum()
        };
        let names = ring.keys.names();
        let mut seen: Vec<Purpose> = Vec::new();
        let mut items: Vec<Value> = Vec::new();
        for (purpose, id) in &names {
            let first = !seen.contains(purpose);
            seen.push(*purpose);
            let state = match (purpose, first) {
                (Purpose::Route | Purpose::Admin, true) => "seals",
                (Purpose::Route | Purpose::Admin, false) => "opens",
                (Purpose::Signing, true) => "signs",
                (Purpose::Signing, false) => "verifies",
                (Purpose::Directory, _) => "hashes",
            };
            let secrets = match purpose {
                Purpose::Route | Purpose::Admin => json!(sealed(*purpose, id.as_str())),
                Purpose::Signing | Purpose::Directory => Value::Null,
            };
            items.push(json!({
                "purpose": purpose.as_str(), "id": id.as_str(), "state": state, "secrets": secrets,
            }));
        }
        // What nobody here can open.
        for used in &uses {
            let known = |(purpose, id): &(Purpose, _)| {
                *purpose == used.purpose && tenantry_vault::KeyId::as_str(id) == used.key_id
            };
            let told = |item: &Value| {
                item["purpose"] == used.purpose.as_str() && item["id"] == used.key_id.as_str()
            };
            if !names.iter().any(known) && !items.iter().any(told) {
                items.push(json!({
                    "purpose": used.purpose.as_str(), "id": used.key_id, "state": "missing",
                    "secrets": sealed(used.purpose, &used.key_id),
                }));
            }
        }
        ring.catalog.close().await;
        match global.output {
            Output::Json => output::json(&json!({ "items": items })),
            Output::Table => output::rows(
                &[
                    ("PURPOSE", Shape::Text),
                    ("ID", Shape::Whole),
                    ("STATE", Shape::State),
                    ("SECRETS", Shape::Whole),
                ],
                items.iter().map(|item| {
                    ["purpose", "id", "state", "secrets"]
                        .map(|key| text(item, key))
                        .to_vec()
                }),
            ),
        }
    }
}
