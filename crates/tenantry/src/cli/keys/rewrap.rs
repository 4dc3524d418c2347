//! `tenantry keys rewrap`: what older keys have sealed is sealed anew, in batches, while everything runs.
//!
//! Each secret is replaced only if nobody has changed it since it was read. Cut off, it goes on with what
//! is left when it is run again.

use clap::Args;
use serde_json::json;
use tenantry_catalog::keys::{self, After, Stored};
use tenantry_catalog::routers;
use tenantry_vault::{KeyId, Purpose, Sealed};

use super::Ring;
use crate::catalog_url::catalog_failure;
use crate::cli::{Global, follow};
use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};
use crate::output::{self, Output, Progress};

const EXAMPLES: &str = "\
Examples:
  tenantry keys rewrap
  tenantry keys rewrap --batch 50 --output json";

/// How.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Rewrap {
    /// How many secrets are read at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
}

#[derive(Default)]
struct Counts {
    rewrapped: u64,
    changed: u64,
    unreadable: u64,
}

impl Rewrap {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let ring = Ring::open(global).await?;
        let active = |purpose| match purpose {
            Purpose::Route => ring.keys.route().active().clone(),
            _ => ring.keys.admin().active().clone(),
        };
        let purposes = [Purpose::Admin, Purpose::Route].map(|purpose| (purpose, active(purpose)));
        let uses = ring.uses().await?;
        let behind = |purpose: Purpose, id: &KeyId| -> u64 {
            let of = uses
                .iter()
                .filter(|used| used.purpose == purpose && used.key_id != id.as_str());
            of.map(|used| used.rows.unsigned_abs()).sum()
        };
        let total: u64 = purposes
            .iter()
            .map(|(purpose, id)| behind(*purpose, id))
            .sum();
        for (purpose, id) in &purposes {
            if *purpose == Purpose::Route && behind(*purpose, id) > 0 {
                held_by_routers(&ring, id).await?;
            }
        }
        let detail = json!({
            "secrets": total,
            "keys": purposes.each_ref().map(|(purpose, id)| format!("{purpose}:{id}")),
        });
        ring.audit("keys.rewrap", &detail).await?;
        let mut progress = Progress::of(&format!("Sealing {total} secrets anew"), global.output);
        let mut counts = Counts::default();
        let stopped = || {
            Failure::new(Exit::Interrupted, "stopped; what was sealed anew stays so")
                .next("run it again: it goes on with what is left")
        };
        let work = async {
            for (purpose, id) in &purposes {
                self.of(&ring, *purpose, id, total, &mut counts, &mut progress)
                    .await?;
            }
            Ok(())
        };
        follow::unless_stopped(work, stopped).await?;
        drop(progress);
        // Somebody with the former keys may have sealed with them meanwhile.
        let left: i64 = ring
            .uses()
            .await?
            .iter()
            .filter(|used| {
                purposes
                    .iter()
                    .any(|(of, id)| *of == used.purpose && used.key_id != id.as_str())
            })
            .map(|used| used.rows)
            .sum();
        ring.catalog.close().await;
        match global.output {
            Output::Json => output::json(&json!({
                "rewrapped": counts.rewrapped,
                "changedMeanwhile": counts.changed,
                "unreadable": counts.unreadable,
                "left": left,
            }))?,
            Output::Table => output::line(&format!(
                "{} secrets were sealed anew; {left} are left that another key has sealed.",
                counts.rewrapped
            ))?,
        }
        if left == 0 {
            return Ok(());
        }
        let next = match counts.unreadable {
            0 => "a program still runs with the former keys: start it anew, and run this again",
            _ => "the log says which do not open: a key is missing, or they were changed or moved",
        };
        Err(Failure::new(
            Exit::Failed,
            format!("{left} secrets are sealed with other keys"),
        )
        .next(next)
        .coded("SECRETS_LEFT"))
    }

    async fn of(
        &self,
        ring: &Ring,
        purpose: Purpose,
        active: &KeyId,
        total: u64,
        counts: &mut Counts,
        progress: &mut Progress,
    ) -> Result<()> {
        let failed = |error| catalog_failure("the secrets cannot be sealed anew", &error);
        let mut after: Option<After> = None;
        loop {
            // Taken for a batch, and given back: others work on the catalog, too.
            let mut conn = ring
                .catalog
                .acquire()
                .await
                .map_err(|error| failed(error.into()))?;
            let batch = keys::behind(
                &mut conn,
                purpose,
                active.as_str(),
                after.as_ref(),
                self.batch,
            )
            .await
            .map_err(failed)?;
            let Some(last) = batch.last() else {
                return Ok(());
            };
            after = Some(last.position());
            for stored in &batch {
                match anew(ring, purpose, stored) {
                    Ok(Some(anew)) => {
                        match keys::swap(&mut conn, stored, &anew).await.map_err(failed)? {
                            true => counts.rewrapped += 1,
                            false => counts.changed += 1,
                        }
                    }
                    Ok(None) => {}
                    Err(error) => {
                        counts.unreadable += 1;
                        tracing::warn!(place = ?stored.place(ring.installation), key = stored.sealed.key_id,
                            error = chain(&error), "a sealed secret does not open");
                    }
                }
            }
            drop(conn);
            progress.reach(counts.rewrapped.min(total), total, "secrets");
        }
    }
}

fn anew(
    ring: &Ring,
    purpose: Purpose,
    stored: &Stored,
) -> std::result::Result<Option<Sealed>, tenantry_vault::OpenError> {
    let (entropy, place) = (&ring.sources.entropy, stored.place(ring.installation));
    match purpose {
        Purpose::Route => ring.keys.route().rewrap(entropy, &place, &stored.sealed),
        _ => ring.keys.admin().rewrap(entropy, &place, &stored.sealed),
    }
}

/// Refuses while a live router, of ours or in a product, does not hold a route key: what is sealed with it
/// would not open there, and requests would fail.
pub(super) async fn held_by_routers(ring: &Ring, id: &KeyId) -> Result<()> {
    let failed = |error| catalog_failure("the routers cannot be listed", &error);
    let mut conn = ring
        .catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let all = routers::details(&mut conn).await.map_err(failed)?;
    let without: Vec<_> = all
        .iter()
        .filter(|one| one.router.live)
        .filter(|one| {
            let held = one
                .report
                .as_ref()
                .and_then(|(_, report)| report.route_keys.as_ref());
            !held.is_some_and(|keys| keys.iter().any(|key| key == id.as_str()))
        })
        .map(|one| one.router.name.as_str())
        .collect();
    if without.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Conflict,
        format!("routers that run do not hold the route key `{id}`: {}", without.join(", ")),
    )
    .next("start each anew with the keys that hold it; a router tells its keys within seconds of its start")
    .coded("KEY_NOT_HELD"))
}
