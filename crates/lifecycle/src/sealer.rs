//! Seals the audit trail: see `tenantry_catalog::audit`. One process at a time does it, and nobody waits.

use std::time::Duration;

use tenantry_catalog::{CatalogError, audit};

use crate::Lifecycle;

/// How often to look for rows that no seal holds.
const EVERY: Duration = Duration::from_secs(2);
/// How many rows a seal holds at most.
const BATCH: u32 = 1000;

pub(crate) async fn run(life: Lifecycle) {
    loop {
        match seal_all(&life).await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "the audit trail was sealed"),
            Err(error) => {
                tracing::warn!(code = error.code(), error = %crate::engine::chain_of(&error), "the audit trail could not be sealed; trying again");
            }
        }
        tokio::select! {
            () = life.0.stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Until nothing waits, or somebody else is at it.
async fn seal_all(life: &Lifecycle) -> Result<usize, CatalogError> {
    let mut conn = life.deps().catalog.acquire().await?;
    let mut all = 0;
    while !life.0.stopping.is_cancelled() {
        match audit::seal(&mut conn, BATCH).await? {
            None | Some(0) => break,
            Some(rows) => all += rows,
        }
    }
    Ok(all)
}
