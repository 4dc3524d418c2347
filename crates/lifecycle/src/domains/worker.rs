//! Looks for the records of domains by itself: of new claims until they are proven, of served ones
//! whether the record is still there.
//!
//! Takes no input, may run in any number of processes and be cut off anywhere: a claim is leased by the
//! moment at which it is due next. One whose DNS does not answer stops no other.

use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt;
use tenantry_catalog::domain_claims::{self, Claim};

use super::ask;
use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

/// How often to look which claims are due.
const EVERY: Duration = Duration::from_secs(2);
/// How many claims to lease at a time, and how many to look up at once.
const BATCH: u32 = 32;
const AT_ONCE: usize = 8;
/// How long a claim is left alone by others. Longer than all looks of a batch may take.
const LEASE: TimeDelta = TimeDelta::minutes(2);

pub(crate) async fn run(life: Lifecycle) {
    loop {
        let more = look(&life).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "domains could not be checked; trying again");
            false
        });
        if life.0.stopping.is_cancelled() {
            return;
        }
        if !more {
            tokio::select! {
                () = life.0.stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}

/// Checks a batch of claims that are due; says whether there may be more.
async fn look(life: &Lifecycle) -> Result<bool, StartError> {
    let deps = life.deps();
    let Some(_at_work) = life.at_work("domains") else {
        return Ok(false);
    };
    let now = deps.clock.now();
    let mut conn = deps.catalog.acquire().await?;
    let due = domain_claims::take_due(&mut conn, now, now + LEASE, BATCH).await?;
    let more = due.len() == BATCH as usize;
    let mut claims = Vec::with_capacity(due.len());
    for (tenant, name) in &due {
        claims.extend(domain_claims::get(&mut conn, *tenant, name).await?);
    }
    drop(conn);
    futures::stream::iter(claims)
        .for_each_concurrent(AT_ONCE, async |claim| {
            // What is left is due again when its lease ends.
            if !life.0.gate.is_open() {
                return;
            }
            let checked = tokio::select! {
                () = life.0.stopping.cancelled() => return,
                checked = check(life, &claim) => checked,
            };
            match checked {
                // Gone, written anew, or its tenant deleted, since it was leased.
                Ok(())
                | Err(
                    StartError::UnknownDomain
                    | StartError::UnknownTenant
                    | StartError::WrongState(_),
                ) => {}
                Err(error) => {
                    tracing::warn!(domain = %claim.name, code = error.code(), "a domain could not be checked; trying again");
                }
            }
        })
        .await;
    Ok(more)
}

async fn check(life: &Lifecycle, claim: &Claim) -> Result<(), StartError> {
    let outcome = ask(life.deps(), claim).await;
    life.settle(claim, outcome, &Asker::product("domains"))
        .await
        .map(drop)
}
