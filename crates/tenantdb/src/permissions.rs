//! The registry of what can be allowed.

use sqlx::PgConnection;

use crate::TenantDbError;
use crate::permission::{Granted, PermissionsList};

/// One thing that can be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// What it is about, e.g. `users`.
    pub resource: String,
    /// What may be done with it, e.g. `list`.
    pub action: String,
    /// For people.
    pub description: String,
}

/// All permissions there are, by resource and action.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn list(
    conn: &mut PgConnection,
    _granted: &Granted<PermissionsList>,
) -> Result<Vec<Registered>, TenantDbError> {
    Ok(sqlx::query_as!(
        Registered,
        "SELECT resource, action, description FROM tenantry.permissions ORDER BY resource, action"
    )
    .fetch_all(conn)
    .await?)
}
