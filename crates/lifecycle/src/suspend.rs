//! Suspension: the tenant is served to nobody, and its data stays as it is.
//!
//! Done means that it is true: no login of the product's or of a router gets into the database, and
//! every live router has ended what it had of the tenant.

use std::sync::Arc;

use tenantry_catalog::change_log;
use tenantry_catalog::operations::{self, Operation};
use tenantry_catalog::tenants::{self, Status, Tenant, TenantRef};
use tenantry_types::{OperationId, Reason, TenantId};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::delete::{Ending, Params};
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;

/// The names of the steps of a suspension, in order.
pub const STEPS: &[&str] = &["fence", "drain"];

/// What a request that changes whether a tenant is served began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The operation to wait for; none where it was so before.
    pub operation_id: Option<OperationId>,
}

/// The operation `suspend`: fence the logins by which the tenant is used, drain the routers.
pub struct Suspend(Ending);

impl Kind for Suspend {
    const NAME: &'static str = "suspend";
    const RUNS_WHEN_PAUSED: bool = true;
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Suspend>] = &[
            Step {
                name: "fence",
                run: |work| Box::pin(work.0.fence_use()),
                undo: None,
            },
            Step {
                name: "drain",
                run: |work| Box::pin(work.0.drain()),
                undo: None,
            },
        ];
        STEPS
    }
}

impl Lifecycle {
    /// Suspends a tenant: nothing of it is served any more when the operation is done. One that is
    /// suspended already gets the new reason; every router tells it when this returns.
    ///
    /// The cluster is reached before anything is written, so a server that is down changes nothing.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed, but for [`StartError::RoutersBehind`].
    pub async fn suspend(
        &self,
        tenant: &TenantRef,
        reason: &Reason,
        asker: Asker,
    ) -> Result<Turned, StartError> {
        let deps = self.deps();
        let found = self.find(tenant).await?;
        if found.status == Status::Suspended {
            return self.suspend_anew(found.id, reason, &asker).await;
        }
        let reached = self.reach_found(found).await?;
        let (id, tenant_id) = (reached.operation, reached.tenant.id);

        let mut tx = deps.catalog.begin().await?;
        let locked = tenants::lock_by_id(&mut tx, tenant_id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        match locked.status {
            Status::Active => {}
            // Somebody else was quicker.
            Status::Suspended => {
                drop(tx);
                return self.suspend_anew(tenant_id, reason, &asker).await;
            }
            Status::Deleting => return Err(StartError::WrongState("the tenant is deleted")),
            _ => {
                self.none_running(&mut tx, tenant_id).await?;
                return Err(StartError::WrongState("the tenant is not in service"));
            }
        }
        let params = Params::of(&mut tx, &locked, None).await?;
        let fence = self
            .record::<Suspend>(&mut tx, id, Some(tenant_id), &params, &asker)
            .await?;
        self.audit_suspension(&mut tx, &asker, &locked, reason, Some(id))
            .await?;
        tenants::suspend(&mut tx, tenant_id, reason.as_str()).await?;
        change_log::append(&mut tx, tenant_id, change_log::Kind::Fenced).await?;
        tx.commit().await?;

        let ending = Ending::begun(self, reached, fence, params);
        self.carry(ending.lease.clone(), Suspend(ending));
        Ok(Turned {
            tenant_id,
            operation_id: Some(id),
        })
    }

    /// Gives a suspended tenant another reason. It may only just be on its way into the suspension, or
    /// out of it: then there is an operation to wait for, and nothing can be promised yet.
    async fn suspend_anew(
        &self,
        tenant: TenantId,
        reason: &Reason,
        asker: &Asker,
    ) -> Result<Turned, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let locked = tenants::lock_by_id(&mut tx, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        self.none_running(&mut tx, tenant).await?;
        if locked.status != Status::Suspended {
            return Err(StartError::WrongState(
                "the tenant's state changed just now",
            ));
        }
        let unchanged = Turned {
            tenant_id: tenant,
            operation_id: None,
        };
        if locked.status_reason.as_deref() == Some(reason.as_str()) {
            return Ok(unchanged);
        }
        self.audit_suspension(&mut tx, asker, &locked, reason, None)
            .await?;
        tenants::set_suspended_reason(&mut tx, tenant, reason.as_str()).await?;
        change_log::append(&mut tx, tenant, change_log::Kind::Updated).await?;
        tx.commit().await?;
        self.followed().await?;
        Ok(unchanged)
    }

    /// Refuses while an operation of the tenant is under way or waits for a person. The caller holds the
    /// tenant's lock, which each begins with.
    pub(crate) async fn none_running(
        &self,
        conn: &mut sqlx::PgConnection,
        tenant: TenantId,
    ) -> Result<(), StartError> {
        match operations::running_for_tenant(conn, tenant).await? {
            Some(running) => Err(StartError::InProgress(running)),
            None => Ok(()),
        }
    }

    async fn audit_suspension(
        &self,
        conn: &mut sqlx::PgConnection,
        asker: &Asker,
        before: &Tenant,
        reason: &Reason,
        operation: Option<OperationId>,
    ) -> Result<(), StartError> {
        let detail = serde_json::json!({
            "slug": before.slug.as_str(),
            "operationId": operation,
            "from": { "status": before.status, "reason": before.status_reason },
            "to": { "status": Status::Suspended, "reason": reason.as_str() },
        });
        let tenant = Some(before.id);
        let why = Some(reason.as_str());
        self.audit(conn, asker, "tenant.suspend", tenant, why, detail)
            .await
    }
}

impl Suspend {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ending::resume(life, operation, lease).await.map(Self)
    }
}
