//! A suspended tenant is served again, with the same logins and the same data.

use std::sync::Arc;

use tenantry_catalog::change_log;
use tenantry_catalog::operations::Operation;
use tenantry_catalog::tenants::{self, Status, TenantRef};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::delete::{Ending, Params};
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::suspend::Turned;

/// The names of the steps of a resumption, in order.
pub const STEPS: &[&str] = &["unfence", "restore"];

/// The operation `resume`.
pub struct Resume(Ending);

impl Kind for Resume {
    const NAME: &'static str = "resume";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Resume>] = &[
            Step {
                name: "unfence",
                run: |work| Box::pin(work.0.unfence()),
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
    /// Ends a suspension: the tenant is served again when the operation is done. One that is active
    /// stays so.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed.
    pub async fn resume(&self, tenant: &TenantRef, asker: Asker) -> Result<Turned, StartError> {
        let deps = self.deps();
        let reached = self.reach_found(self.find(tenant).await?).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);

        let mut tx = deps.catalog.begin().await?;
        let locked = tenants::lock_by_id(&mut tx, tenant_id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        match locked.status {
            Status::Suspended => {}
            Status::Deleting => {
                return Err(StartError::WrongState(
                    "the tenant is deleted; bring it back first",
                ));
            }
            other => {
                self.none_running(&mut tx, tenant_id).await?;
                return match other {
                    Status::Active => Ok(Turned {
                        tenant_id,
                        operation_id: None,
                    }),
                    _ => Err(StartError::WrongState("the tenant is not suspended")),
                };
            }
        }
        let params = Params::of(&mut tx, &locked, None).await?;
        let fence = self
            .record::<Resume>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        let detail = serde_json::json!({
            "slug": locked.slug.as_str(),
            "operationId": id,
            "from": { "status": locked.status, "reason": locked.status_reason },
            "to": { "status": Status::Active },
        });
        self.audit(
            &mut tx,
            &asker,
            "tenant.resume",
            Some(tenant_id),
            None,
            detail,
        )
        .await?;
        tx.commit().await?;

        let ending = Ending::begun(self, reached, fence, params);
        self.carry(ending.lease.clone(), Resume(ending));
        Ok(Turned {
            tenant_id,
            operation_id: Some(id),
        })
    }
}

impl Resume {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ending::resume(life, operation, lease).await.map(Self)
    }
}

/// Opens the tenant.
async fn restore(work: &Ending) -> Result<(), StepError> {
    let deps = work.life.deps();
    let mut tx = deps.catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    tenants::resume(&mut tx, work.tenant_id).await?;
    change_log::append(&mut tx, work.tenant_id, change_log::Kind::Restored).await?;
    tx.commit().await?;
    work.life.routers_applied().await
}
