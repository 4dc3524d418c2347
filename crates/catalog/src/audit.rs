//! The audit trail: what people and programs did through the control plane.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{AuditId, TenantId};

use crate::CatalogError;

/// One line of the trail.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who did it: an operator's name, or the part of the program.
    pub actor: &'a str,
    /// What was done, e.g. `tenant.create`.
    pub action: &'a str,
    /// The tenant it was done to.
    pub tenant: Option<TenantId>,
    /// The request that asked for it.
    pub request_id: Option<&'a str>,
    /// Why, in the words of who did it.
    pub reason: Option<&'a str>,
    /// What else is worth knowing. Holds no secret.
    pub detail: &'a Value,
}

/// Writes a line, in the transaction of what it tells about.
///
/// # Errors
/// When the catalog does not answer.
pub async fn record(
    conn: &mut PgConnection,
    id: AuditId,
    entry: &Entry<'_>,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO audit (id, actor, action, tenant_id, request_id, reason, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id.as_uuid(),
        entry.actor,
        entry.action,
        entry.tenant.map(|tenant| tenant.as_uuid()),
        entry.request_id,
        entry.reason,
        entry.detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}
