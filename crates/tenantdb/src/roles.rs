//! Roles: named sets of permissions.

use sqlx::PgConnection;
use tenantry_types::RoleId;

use crate::TenantDbError;
use crate::permission::{Granted, RolesList};

/// The built-in role that holds every permission; at least one active person has it.
pub const ADMIN: &str = "Admin";
/// The built-in role that changes records and sees the rest.
pub const EDITOR: &str = "Editor";
/// The built-in role that only sees.
pub const VIEWER: &str = "Viewer";

/// A named set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Never changes.
    pub id: RoleId,
    /// Unique in the tenant.
    pub name: String,
    /// For people.
    pub description: String,
    /// Made by us with the tenant.
    pub is_builtin: bool,
    /// As `resource:action`, sorted.
    pub permissions: Vec<String>,
}

/// All roles with what they allow, by name.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn list(
    conn: &mut PgConnection,
    _granted: &Granted<RolesList>,
) -> Result<Vec<Role>, TenantDbError> {
    let rows = sqlx::query!(
        r#"SELECT r.id, r.name, r.description, r.is_builtin,
                  ARRAY(SELECT rp.resource || ':' || rp.action
                        FROM tenantry.role_permissions rp
                        WHERE rp.role_id = r.id ORDER BY 1) AS "permissions!"
           FROM tenantry.roles r
           ORDER BY r.name"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Role {
            id: RoleId::from_uuid(row.id),
            name: row.name,
            description: row.description,
            is_builtin: row.is_builtin,
            permissions: row.permissions,
        })
        .collect())
}
