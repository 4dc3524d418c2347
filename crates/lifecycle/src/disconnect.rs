//! Closing a tenant's connections on every router, without closing the tenant.

use tenantry_catalog::change_log;
use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_types::TenantId;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::engine::StepError;
use crate::error::StartError;

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
    ) -> Result<TenantId, StartError> {
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
        change_log::append(&mut tx, found.id, change_log::Kind::Disconnect).await?;
        tx.commit().await?;
        match self.routers_applied().await {
            Ok(()) => Ok(found.id),
            Err(StepError::Interrupted(Some(error))) => Err(StartError::Catalog(error)),
            Err(_) => Err(StartError::WrongState(
                "some routers have not closed their connections yet; ask again",
            )),
        }
    }
}
