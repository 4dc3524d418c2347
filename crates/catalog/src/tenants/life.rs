//! What is changed of a tenant between its birth and its end. The caller holds its lock.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{ErrorKind, Plan, Slug, TenantId};
use uuid::Uuid;

use super::Status;
use crate::CatalogError;
use crate::error::{Row, violated};

/// Suspends a tenant. `false`: no such tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn suspend(
    conn: &mut PgConnection,
    id: TenantId,
    reason: &str,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE tenants
         SET status = 'suspended', status_reason = $2, purge_at = NULL,
             suspended_at = clock_timestamp(), suspended_reason = $2,
             updated_at = clock_timestamp()
         WHERE id = $1",
        id.as_uuid(),
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a suspended tenant another reason; since when it is suspended stays. `false`: it is not.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_suspended_reason(
    conn: &mut PgConnection,
    id: TenantId,
    reason: &str,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE tenants
         SET status_reason = $2, suspended_reason = $2, updated_at = clock_timestamp()
         WHERE id = $1 AND status = 'suspended'",
        id.as_uuid(),
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a suspension: the tenant is active. `false`: no such tenant. Its people are compared with the directory soon:
/// they may be others now, as after a restore.
///
/// # Errors
/// When the catalog does not answer.
pub async fn resume(conn: &mut PgConnection, id: TenantId) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE tenants
         SET status = 'active', status_reason = NULL, purge_at = NULL,
             directory_due_at = clock_timestamp(),
             suspended_at = NULL, suspended_reason = NULL, updated_at = clock_timestamp()
         WHERE id = $1",
        id.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a deletion back: the tenant is active, or suspended where it was when it was deleted. Gives
/// its state; none: no such tenant.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn restore(
    conn: &mut PgConnection,
    id: TenantId,
) -> Result<Option<Status>, CatalogError> {
    let status = sqlx::query_scalar!(
        "UPDATE tenants
         SET status = CASE WHEN suspended_at IS NULL THEN 'active' ELSE 'suspended' END,
             status_reason = suspended_reason, purge_at = NULL, updated_at = clock_timestamp()
         WHERE id = $1 RETURNING status",
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    status
        .map(|status| Row::of("tenants", id).column("status", status.parse()))
        .transpose()
}

/// Why a tenant was not renamed. The transaction is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// Another tenant, perhaps a deleted one that was not purged yet, has the slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Gives a tenant another slug; its domains are [`crate::domains::rename`]'s.
///
/// # Errors
/// [`RenameError::SlugTaken`], or when the catalog fails.
pub async fn rename(conn: &mut PgConnection, id: TenantId, slug: &Slug) -> Result<(), RenameError> {
    let done = sqlx::query!(
        "UPDATE tenants SET slug = $2, updated_at = clock_timestamp() WHERE id = $1",
        id.as_uuid(),
        slug.as_str(),
    )
    .execute(conn)
    .await;
    match done {
        Ok(_) => Ok(()),
        Err(error) if violated(&error) == Some("tenants_slug_key") => Err(RenameError::SlugTaken),
        Err(error) => Err(CatalogError::from(error).into()),
    }
}

/// What of a tenant can be changed without more ado, as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Update<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its plan.
    pub plan: &'a Plan,
    /// What the product remembers with it: a JSON object.
    pub metadata: &'a Value,
    /// How many connections each router may hold for it, 1 to 10,000; none: what its plan says.
    pub max_connections: Option<u32>,
}

/// Writes that. `false`: no such tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn update(
    conn: &mut PgConnection,
    id: TenantId,
    update: &Update<'_>,
) -> Result<bool, CatalogError> {
    let id: Uuid = id.as_uuid();
    let done = sqlx::query!(
        "UPDATE tenants
         SET name = $2, plan = $3, metadata = $4, max_connections = $5,
             updated_at = clock_timestamp()
         WHERE id = $1",
        id,
        update.name,
        update.plan.to_string(),
        update.metadata,
        update
            .max_connections
            .map(|most| i32::try_from(most).unwrap_or(i32::MAX)),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

impl RenameError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::SlugTaken => ErrorKind::Conflict,
            Self::Catalog(error) => error.kind(),
        }
    }
}
