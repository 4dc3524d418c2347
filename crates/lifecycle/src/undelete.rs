//! A deleted tenant comes back, with the same logins and the same data.

use std::sync::Arc;

use tenantry_catalog::operations::Operation;
use tenantry_catalog::tenants::{self, Status, TenantRef};
use tenantry_catalog::{change_log, clusters};
use tenantry_types::OperationId;

use crate::asker::Asker;
use crate::delete::{Ending, Params};
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::place::{Durability, Session};
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
        let mut conn = deps.catalog.acquire().await?;
        let found = tenants::by_ref(&mut conn, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let cluster = clusters::by_id(&mut conn, found.cluster_id)
            .await?
            .ok_or(StartError::NoCluster)?;
        drop(conn);
        let id = OperationId::generate(&deps.clock, &deps.entropy);
        let session = Session::first(self, &cluster, id, Durability::Each).await?;

        let mut tx = deps.catalog.begin().await?;
        let locked = tenants::lock_by_id(&mut tx, found.id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        if locked.status != Status::Deleting {
            return Err(StartError::WrongState("the tenant is not deleted"));
        }
        let params = Params::of(&mut tx, &locked, None).await?;
        let fence = self
            .record_operation(
                &mut tx,
                id,
                Undelete::NAME,
                Some(found.id),
                &serde_json::to_value(&params).unwrap_or_default(),
                &asker,
            )
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.undelete",
            Some(found.id),
            None,
            serde_json::json!({
                "slug": found.slug.as_str(),
                "operationId": id,
                "from": { "status": locked.status, "purgeAt": locked.purge_at },
                "to": { "purgeAt": null },
            }),
        )
        .await?;
        tx.commit().await?;

        let lease = Arc::new(Lease::keep(
            deps.catalog.clone(),
            id,
            fence,
            deps.settings.lease,
        ));
        let ending = Ending {
            life: self.clone(),
            lease: lease.clone(),
            tenant_id: found.id,
            params,
            session: session.under(lease.clone()),
        };
        self.carry(lease, Undelete(ending));
        Ok(Started {
            operation_id: id,
            tenant_id: Some(found.id),
            replay: false,
        })
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
