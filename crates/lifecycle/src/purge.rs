//! The end of a tenant's data: after this nothing of it is left but the operation and the audit line.

use std::sync::Arc;

use tenantry_catalog::operations::Operation;
use tenantry_catalog::{change_log, databases, operation_secrets, tenants};
use tenantry_cluster::{Mark, logins};

use crate::delete::Ending;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::{Lifecycle, dump, making};

/// The names of the steps of a purge, in order.
pub const STEPS: &[&str] = &["fence", "drain", "dump", "drop", "forget"];

/// The operation `purge`: fence, drain, take a final dump where that is wanted, drop the database and its logins, forget the tenant.
pub struct Purge(pub(crate) Ending);

impl Kind for Purge {
    const NAME: &'static str = "purge";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Purge>] = &[
            Step {
                name: "fence",
                run: |work| Box::pin(work.0.fence()),
                undo: None,
            },
            Step {
                name: "drain",
                run: |work| Box::pin(work.0.drain()),
                undo: None,
            },
            Step {
                name: "dump",
                run: |work| Box::pin(final_dump(&work.0)),
                undo: None,
            },
            Step {
                name: "drop",
                run: |work| Box::pin(drop_database(&work.0)),
                undo: None,
            },
            Step {
                name: "forget",
                run: |work| Box::pin(forget(&work.0)),
                undo: None,
            },
        ];
        STEPS
    }
}

impl Purge {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ending::resume(life, operation, lease).await.map(Self)
    }
}

/// Without the dump that was promised when the purge began, nothing is dropped.
async fn final_dump(work: &Ending) -> Result<(), StepError> {
    match work.params.dump {
        true => dump::last::take(work).await,
        false => Ok(()),
    }
}

/// Drops the database if its mark says that it is this one, then its logins, then what is left of
/// other tenants' logins that this database kept from being dropped.
async fn drop_database(work: &Ending) -> Result<(), StepError> {
    let Some(id) = work.params.database_id else {
        return Ok(());
    };
    let mark = Mark::new(work.life.deps().installation, id);
    let mut admin = work.session.admin().await?;
    making::discard_named(&mut admin, &work.params.names()?, &mark).await?;
    if let Err(error) = logins::sweep(&mut admin, mark.installation).await {
        // This tenant is gone all the same; the next purge sweeps again.
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "tombstones of logins were not swept"
        );
    }
    Ok(())
}

/// Removes the tenant's rows; its slug and its domains are free again.
async fn forget(work: &Ending) -> Result<(), StepError> {
    let deps = work.life.deps();
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    if let Some(id) = work.params.database_id {
        databases::remove(&mut tx, id).await?;
    }
    operation_secrets::remove_of_tenant(&mut tx, work.tenant_id).await?;
    tenants::remove(&mut tx, work.tenant_id).await?;
    change_log::append(&mut tx, work.tenant_id, change_log::Kind::Purged).await?;
    tx.commit().await?;
    Ok(())
}
