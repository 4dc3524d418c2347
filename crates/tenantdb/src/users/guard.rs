//! The rules that a change of people must pass, and the locks that make them hold.
//!
//! Locks are taken in one order, so that two changes never wait for each other: the role Admin,
//! then the person, then sessions.

use sqlx::PgConnection;
use tenantry_types::UserId;
use uuid::Uuid;

use super::UserError;
use crate::permission::{Granted, Permission};

/// Lines up all changes that could take the last Admin away, to the end of the transaction. Each
/// then counts the Admins that the one before it has left.
///
/// Not `FOR UPDATE`: that would also hold up everyone who gives somebody the role.
pub(super) async fn lock_admins(conn: &mut PgConnection) -> Result<(), UserError> {
    sqlx::query!(
        "SELECT id FROM tenantry.roles WHERE name = 'Admin' AND is_builtin FOR NO KEY UPDATE"
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// Locks a person; whether they are active, none if they are gone.
pub(super) async fn lock_user(
    conn: &mut PgConnection,
    id: UserId,
) -> Result<Option<bool>, UserError> {
    Ok(sqlx::query_scalar!(
        "SELECT is_active FROM tenantry.users WHERE id = $1 FOR UPDATE",
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?)
}

/// The ids of roles by name.
pub(super) async fn roles(
    conn: &mut PgConnection,
    names: &[String],
) -> Result<Vec<Uuid>, UserError> {
    let found = sqlx::query!(
        "SELECT id, name FROM tenantry.roles WHERE name = ANY($1)",
        names,
    )
    .fetch_all(conn)
    .await?;
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| !found.iter().any(|role| role.name == **name))
        .cloned()
        .collect();
    if unknown.is_empty() {
        Ok(found.into_iter().map(|role| role.id).collect())
    } else {
        Err(UserError::UnknownRoles(unknown))
    }
}

/// Nobody gives a role that holds a permission they lack.
pub(super) async fn may_give<P: Permission>(
    conn: &mut PgConnection,
    granted: &Granted<P>,
    roles: &[Uuid],
) -> Result<(), UserError> {
    let lacking = sqlx::query_scalar!(
        r#"SELECT resource || ':' || action AS "permission!"
           FROM tenantry.role_permissions WHERE role_id = ANY($1)
           EXCEPT SELECT unnest($2::text[])
           ORDER BY 1 LIMIT 1"#,
        roles,
        &granted.held(),
    )
    .fetch_optional(conn)
    .await?;
    lacking.map_or(Ok(()), |permission| {
        Err(UserError::Escalation { permission })
    })
}

/// Nobody touches a person who holds a permission they lack. The person is locked before.
pub(super) async fn may_touch<P: Permission>(
    conn: &mut PgConnection,
    granted: &Granted<P>,
    id: UserId,
) -> Result<(), UserError> {
    let roles = sqlx::query_scalar!(
        "SELECT role_id FROM tenantry.user_roles WHERE user_id = $1",
        id.as_uuid(),
    )
    .fetch_all(&mut *conn)
    .await?;
    may_give(conn, granted, &roles).await
}

/// One active Admin remains when this person is one no longer. The role is locked before.
pub(super) async fn may_lose_admin(conn: &mut PgConnection, id: UserId) -> Result<(), UserError> {
    let admins = sqlx::query_scalar!(
        "SELECT u.id
         FROM tenantry.users u
         JOIN tenantry.user_roles ur ON ur.user_id = u.id
         JOIN tenantry.roles r ON r.id = ur.role_id
         WHERE r.name = 'Admin' AND r.is_builtin AND u.is_active
         ORDER BY (u.id = $1) DESC
         LIMIT 2",
        id.as_uuid(),
    )
    .fetch_all(conn)
    .await?;
    if admins == [id.as_uuid()] {
        Err(UserError::LastAdmin)
    } else {
        Ok(())
    }
}
