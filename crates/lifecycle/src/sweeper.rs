//! What time alone makes due: purges, the end of a former login's overlap, answers that nobody read, old
//! keys, old changes.
//!
//! Takes no input, may run anywhere and twice; what it begins is an operation like any other.

use std::time::Duration;

use tenantry_catalog::{
    audit, change_log, domains, idempotency, idempotent_answers, logins, operation_secrets,
    operations, routers, temporary_logins, tenants,
};
use tenantry_types::metric;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

/// How often to look.
const EVERY: Duration = Duration::from_secs(5);
/// How many operations of a sort to begin per look.
const PURGES: u32 = 20;

pub(crate) async fn run(life: Lifecycle) {
    loop {
        let outcome = match sweep(&life).await {
            Ok(()) => "done",
            Err(error) => {
                tracing::debug!(%error, "sweeping was not possible; trying again");
                "failed"
            }
        };
        metrics::counter!(metric::SWEEPS.name, "outcome" => outcome).increment(1);
        crate::place::end_idle(&life).await;
        tokio::select! {
            () = life.0.stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn sweep(life: &Lifecycle) -> Result<(), StartError> {
    let deps = life.deps();
    let now = deps.clock.now();
    let mut conn = deps.catalog.acquire().await?;
    operation_secrets::remove_expired(&mut conn, now).await?;
    let kept = chrono::Duration::from_std(deps.settings.answers_kept)
        .unwrap_or(chrono::Duration::hours(24));
    idempotency::prune(&mut conn, now - kept).await?;
    idempotent_answers::prune(&mut conn, now - kept).await?;
    change_log::prune(&mut conn).await?;
    routers::prune(&mut conn).await?;
    audit::denied::prune(&mut conn, now).await?;
    domains::prune_redirects(&mut conn).await?;
    let parked = operations::count_parked(&mut conn).await?;
    metrics::gauge!(metric::OPERATIONS_PARKED.name).set(parked as f64);
    let due = tenants::due_for_purge(&mut conn, now, PURGES).await?;
    let outlived = logins::due_for_disabling(&mut conn, now, PURGES).await?;
    let ended = temporary_logins::due(&mut conn, now, PURGES).await?;
    drop(conn);
    for tenant in ended {
        match life
            .end_logins_when_due(tenant, Asker::product("temporary login ended"))
            .await
        {
            Ok(_) | Err(StartError::InProgress(_) | StartError::UnknownTenant) => {}
            Err(error) => {
                tracing::warn!(%tenant, code = error.code(), "a temporary login whose time is over could not be ended; Postgres lets nobody in by it; trying again");
            }
        }
    }
    for tenant in outlived {
        match life
            .retire_when_due(tenant, Asker::product("overlap ended"))
            .await
        {
            Ok(_) | Err(StartError::InProgress(_) | StartError::UnknownTenant) => {}
            Err(error) => {
                tracing::warn!(%tenant, code = error.code(), "a former login whose overlap has ended could not be disabled; trying again");
            }
        }
    }
    for tenant in due {
        match life
            .purge_when_due(tenant, Asker::product("grace period ended"))
            .await
        {
            // Another process was quicker, or an operation of the tenant is still running.
            Ok(_) | Err(StartError::InProgress(_) | StartError::UnknownTenant) => {}
            Err(error) => {
                tracing::warn!(%tenant, code = error.code(), "a purge that is due could not begin; trying again");
            }
        }
    }
    Ok(())
}
