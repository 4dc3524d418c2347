//! Another slug for a tenant. Its database and its logins keep their names: they are the data's, and
//! nobody who is served sees them.

use chrono::Duration;
use serde_json::json;
use tenantry_catalog::tenants::{self, RenameError, Status, Tenant, TenantRef};
use tenantry_catalog::{change_log, domains};
use tenantry_types::Slug;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::error::StartError;

impl Lifecycle {
    /// Gives a tenant another slug, and the subdomain with it. The former subdomain redirects for so
    /// long (none: as configured; zero: not at all) and is nobody else's meanwhile. Every router has
    /// followed when this returns; the new slug may be its own former one.
    ///
    /// # Errors
    /// See [`StartError`]. [`StartError::RoutersBehind`]: it is renamed, but some router may still serve
    /// the former host for a moment.
    pub async fn rename(
        &self,
        tenant: &TenantRef,
        slug: &Slug,
        redirect_for: Option<std::time::Duration>,
        asker: &Asker,
    ) -> Result<Tenant, StartError> {
        let deps = self.deps();
        let mut tx = deps.catalog.begin().await?;
        let found = tenants::by_ref(&mut tx, tenant)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        let former = tenants::lock_by_id(&mut tx, found.id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        if former.status == Status::Deleting {
            return Err(StartError::WrongState(
                "the tenant is deleted; bring it back first",
            ));
        }
        self.none_running(&mut tx, found.id).await?;
        if former.slug == *slug {
            return Ok(former);
        }
        let redirect_for = redirect_for.unwrap_or(deps.settings.redirect_after_rename);
        // By the catalog's clock the row is over at the same moment for all who read it.
        let until = match redirect_for.is_zero() {
            true => None,
            false => Some(deps.clock.now() + Duration::from_std(redirect_for).unwrap_or(LONGEST)),
        };
        tenants::rename(&mut tx, found.id, slug)
            .await
            .map_err(|error| match error {
                RenameError::SlugTaken => StartError::SlugTaken,
                RenameError::Catalog(error) => error.into(),
            })?;
        domains::rename(&mut tx, found.id, &former.slug, slug, until)
            .await
            .map_err(|error| match error {
                // Another tenant's label, or its former slug.
                domains::InsertError::DomainTaken(_) => StartError::SlugTaken,
                domains::InsertError::Catalog(error) => error.into(),
            })?;
        let detail = json!({
            "from": { "slug": former.slug.as_str() },
            "to": { "slug": slug.as_str(), "redirectsUntil": until },
        });
        self.audit(
            &mut tx,
            asker,
            "tenant.rename",
            Some(found.id),
            None,
            detail,
        )
        .await?;
        let renamed = tenants::by_id(&mut tx, found.id)
            .await?
            .ok_or(StartError::UnknownTenant)?;
        change_log::append(&mut tx, found.id, change_log::Kind::Updated).await?;
        tx.commit().await?;
        self.followed().await?;
        Ok(renamed)
    }
}

/// As long as anybody can have asked for.
const LONGEST: Duration = Duration::days(366);
