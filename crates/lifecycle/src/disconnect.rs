//! Closing a tenant's connections on every router, without closing the tenant.

use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_catalog::{change_log, routers};
use tenantry_types::TenantId;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

/// A tenant's connections were closed everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnection {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The number of the change that said so.
    pub change: i64,
    /// How many live routers have acknowledged it.
    pub routers: usize,
}

impl Lifecycle {
    /// Makes every live router drop what it holds of a tenant; returns when they have. The next
    /// request connects anew.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn disconnect(
        &self,
        tenant: &TenantRef,
        asker: Asker,
    ) -> Result<Disconnection, StartError> {
        let deps = self.deps();
        let mut tx = deps.catalog.begin().await?;
        let found = tenants::by_ref(&mut tx, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        self.audit(
            &mut tx,
            &asker,
            "tenant.disconnect",
            Some(found.id),
            None,
            serde_json::json!({}),
        )
        .await?;
        let kind = change_log::Kind::Disconnect;
        let change = change_log::append(&mut tx, found.id, kind).await?;
        tx.commit().await?;
        self.followed().await?;
        let mut conn = deps.catalog.acquire().await?;
        let routers = routers::list(&mut conn).await?;
        let told = |router: &&routers::Router| router.live && router.applied >= change;
        Ok(Disconnection {
            tenant_id: found.id,
            change,
            routers: routers.iter().filter(told).count(),
        })
    }
}
