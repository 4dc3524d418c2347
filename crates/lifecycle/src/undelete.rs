//! A deleted tenant comes back, with the same logins and the same data.

use std::sync::Arc;

use tenantry_catalog::change_log;
use tenantry_catalog::operations::Operation;
use tenantry_catalog::tenants::{self, Status, TenantRef};

use crate::asker::Asker;
use crate::delete::{Ending, Params};
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::{Lifecycle, Started};

/// The names of the steps of an undeletion, in order.
pub const STEPS: &[&str] = &["unfence", "restore"];

/// The operation `undelete`.
pub struct Undelete(Ending);

impl Kind for Undelete {
    const NAME: &'static str = "undelete";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Undelete>] = &[
            Step {
                name: "unfence",
                run: |work| Box::pin(unfence(&work.0)),
                undo: None,
            },
            Step {
                name: "restore",
                run: |work| Box::pin(restore(&work.0)),
                undo: None,
            },
        ];
        STEPS
    }
}

impl Lifecycle {
    /// Brings a deleted tenant back.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed.
    pub async fn undelete(&self, tenant: &TenantRef, asker: Asker) -> Result<Started, StartError> {
        let deps = self.deps();
        let reached = self.reach_found(self.find(tenant).await?).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);

        let mut tx = deps.catalog.begin().await?;
        let locked = tenants::lock_by_id(&mut tx, tenant_id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        if locked.status != Status::Deleting {
            return Err(StartError::WrongState("the tenant is not deleted"));
        }
        let params = Params::of(&mut tx, &locked, None).await?;
        let fence = self
            .record::<Undelete>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.undelete",
            Some(tenant_id),
            None,
            serde_json::json!({
                "slug": locked.slug.as_str(),
                "operationId": id,
                "from": { "status": locked.status, "purgeAt": locked.purge_at },
                "to": { "purgeAt": null },
            }),
        )
        .await?;
        tx.commit().await?;

        let ending = Ending::begun(self, reached, fence, params);
        self.carry(ending.lease.clone(), Undelete(ending));
        Ok(Started::anew(id, Some(tenant_id)))
    }
}

impl Undelete {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ending::resume(life, operation, lease).await.map(Self)
    }
}

/// Lets the tenant's logins in again, those that were rotated out excepted; of one that was suspended when
/// it was deleted, only the one that a suspended tenant has.
async fn unfence(work: &Ending) -> Result<(), StepError> {
    let mut conn = work.life.deps().catalog.acquire().await?;
    let tenant = tenants::by_id(&mut conn, work.tenant_id).await?;
    drop(conn);
    // It stays as it is while this operation is the tenant's.
    match tenant.and_then(|tenant| tenant.suspended_at) {
        Some(_) => work.unfence_owner().await,
        None => work.unfence().await,
    }
}

/// Takes the tombstone away. Who was suspended is so again.
async fn restore(work: &Ending) -> Result<(), StepError> {
    let deps = work.life.deps();
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    tenants::restore(&mut tx, work.tenant_id).await?;
    change_log::append(&mut tx, work.tenant_id, change_log::Kind::Restored).await?;
    tx.commit().await?;
    work.life.routers_applied().await
}
