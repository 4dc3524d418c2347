//! What a new tenant begins with: the built-in roles and its first person.

use sqlx::PgConnection;
use tenantry_types::{Clock, Email, Entropy, RoleId, UserId};

use crate::TenantDbError;
use crate::passwords::PasswordHash;

/// The first person of a tenant.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Chosen by the caller, so that a second try makes no second person.
    pub user_id: UserId,
    /// Where mail reaches them, and what they sign in with.
    pub email: Email,
    /// None when they set a password later.
    pub password_hash: Option<PasswordHash>,
}

/// Makes the roles Admin (every permission there is), Editor (sees everything, changes records)
/// and Viewer (sees everything), and the first person, if one is given, with the role Admin.
///
/// Idempotent: what is there stays as it is. One statement, hence whole or not at all, also outside
/// of a transaction.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn seed(
    conn: &mut PgConnection,
    admin: Option<&Admin>,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<(), TenantDbError> {
    let role = || RoleId::generate(clock, entropy).as_uuid();
    // A role that this statement inserts is not visible to its other parts, hence `builtin`.
    sqlx::query!(
        "WITH wanted (id, name, description) AS (
             VALUES ($1::uuid, 'Admin', 'May do everything'),
                    ($2::uuid, 'Editor', 'Works with records and sees the rest'),
                    ($3::uuid, 'Viewer', 'Sees everything and changes nothing')
         ), made AS (
             INSERT INTO tenantry.roles (id, name, description, is_builtin, created_at)
             SELECT id, name, description, true, $4 FROM wanted
             ON CONFLICT (name) DO NOTHING
             RETURNING id, name
         ), builtin AS (
             SELECT id, name FROM made
             UNION ALL
             SELECT id, name FROM tenantry.roles WHERE is_builtin
         ), allowed AS (
             INSERT INTO tenantry.role_permissions (role_id, resource, action)
             SELECT builtin.id, p.resource, p.action
             FROM builtin JOIN tenantry.permissions p ON
                 builtin.name = 'Admin'
                 OR (builtin.name = 'Editor' AND (p.action IN ('list', 'read') OR p.resource = 'records'))
                 OR (builtin.name = 'Viewer' AND p.action IN ('list', 'read'))
             ON CONFLICT DO NOTHING
         ), person AS (
             INSERT INTO tenantry.users (id, email, password_hash, created_at, updated_at)
             SELECT $5::uuid, $6::text, $7::text, $4, $4 WHERE $5::uuid IS NOT NULL
             ON CONFLICT (id) DO NOTHING
         )
         INSERT INTO tenantry.user_roles (user_id, role_id)
         SELECT $5::uuid, id FROM builtin WHERE name = 'Admin' AND $5::uuid IS NOT NULL
         ON CONFLICT DO NOTHING",
        role(),
        role(),
        role(),
        clock.now(),
        admin.map(|admin| admin.user_id.as_uuid()),
        admin.map(|admin| admin.email.as_str()),
        admin.and_then(|admin| admin.password_hash.as_ref()).map(PasswordHash::expose),
    )
    .execute(conn)
    .await?;
    Ok(())
}
