//! Keeps the note in each tenant's database true, from which a lost catalog is rebuilt (`doctor/rebuild`).
//!
//! The catalog counts what a note should tell (a trigger, so that no change is forgotten), this writes it a moment
//! later. Nothing waits for it and nothing relies on its being new: where a note is older than what Postgres
//! itself shows, a rebuild serves nobody by it.
//!
//! Takes no input, may run in any number of processes and be cut off anywhere. A database that cannot be written
//! stops no other.

use std::time::Duration;

use tenantry_catalog::notes::{self, Due};
use tenantry_catalog::{CatalogError, clusters};
use tenantry_cluster::{ClusterError, identity, note};

use crate::Lifecycle;
use crate::engine::chain_of;
use crate::error::StartError;
use crate::place;

/// How often to look what is to be written.
const EVERY: Duration = Duration::from_secs(1);
/// How many to take at a time; they are written one after another, as nobody waits.
const BATCH: u32 = 20;
/// How long a note is left alone by others, or after a failure.
const LEASE: Duration = Duration::from_secs(60);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the sessions are called.
const SESSION: &str = "tenantry/notes";

pub(crate) async fn run(life: Lifecycle) {
    loop {
        let more = look(&life).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "tenants' notes could not be looked for; trying again");
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

/// Writes a batch; says whether there may be more.
async fn look(life: &Lifecycle) -> Result<bool, StartError> {
    let Some(_at_work) = life.at_work("notes") else {
        return Ok(false);
    };
    let mut conn = life.deps().catalog.acquire().await?;
    let due = notes::claim_due(&mut conn, BATCH, LEASE).await?;
    drop(conn);
    let more = due.len() == BATCH as usize;
    for due in due {
        let written = tokio::select! {
            () = life.0.stopping.cancelled() => return Ok(false),
            written = tokio::time::timeout(PATIENCE, write(life, &due)) => written,
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(tenant = %due.tenant, error = %chain_of(&error),
                    "a tenant's note could not be written; trying again in a minute");
            }
            Err(_) => {
                tracing::warn!(tenant = %due.tenant, "a tenant's note took too long; trying again in a minute");
            }
        }
    }
    Ok(more)
}

/// Only into a database that says that it is this one: under the name there may be another day's, or another's.
async fn write(life: &Lifecycle, due: &Due) -> Result<(), StartError> {
    let deps = life.deps();
    let mut conn = deps.catalog.acquire().await.map_err(CatalogError::from)?;
    let Some(cluster) = clusters::by_id(&mut conn, due.cluster).await? else {
        return Ok(());
    };
    drop(conn);
    let admin = place::admin_of(deps, &cluster)?;
    let mut inside = admin.enter(&due.name, SESSION).await?;
    let done = async {
        let found = identity::read(&mut inside).await?;
        let same = found.is_some_and(|found| {
            (found.installation, found.database) == (deps.installation, due.database)
        });
        if !same {
            return Err(ClusterError::NotOurs(due.name.to_string()));
        }
        note::write(&mut inside, &due.note.to_string()).await
    };
    let done = done.await;
    inside.close().await;
    done?;
    let mut conn = deps.catalog.acquire().await?;
    notes::set_written(&mut conn, due.tenant, due.version).await?;
    Ok(())
}
