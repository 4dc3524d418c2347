//! Changing people. Each function needs a transaction, for its locks to last until the commit,
//! and READ COMMITTED, for it to see what the one before it has left; roll back when it fails.

use sqlx::PgConnection;
use tenantry_types::{Clock, Entropy, UserId};
use uuid::Uuid;

use super::{Change, New, User, UserError, guard, read};
use crate::TenantDbError;
use crate::error::within_transaction;
use crate::passwords::PasswordHash;
use crate::permission::{Granted, UsersCreate, UsersDelete, UsersUpdate};
use crate::roles::ADMIN;
use crate::sessions::{self, EndReason};

/// Adds a person.
///
/// # Errors
/// [`UserError::EmailTaken`], [`UserError::UnknownRoles`], [`UserError::Escalation`].
pub async fn insert(
    conn: &mut PgConnection,
    granted: &Granted<UsersCreate>,
    new: New,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<User, UserError> {
    within_transaction(conn)?;
    let roles = guard::roles(conn, &new.roles).await?;
    guard::may_give(conn, granted, &roles).await?;

    let id = UserId::generate(clock, entropy);
    sqlx::query!(
        "INSERT INTO tenantry.users (id, email, name, is_active, password_hash, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
        id.as_uuid(),
        new.email.as_str(),
        new.name,
        new.is_active,
        new.password_hash.as_ref().map(PasswordHash::expose),
        clock.now(),
    )
    .execute(&mut *conn)
    .await?;
    give(conn, id, &roles).await?;
    read::by_id(conn, id)
        .await?
        .ok_or(UserError::Db(TenantDbError::Corrupt("person")))
}

/// Changes a person; none if there is no such person.
///
/// # Errors
/// As [`insert`], and [`UserError::LastAdmin`].
pub async fn update(
    conn: &mut PgConnection,
    granted: &Granted<UsersUpdate>,
    id: UserId,
    change: Change,
    clock: &Clock,
) -> Result<Option<User>, UserError> {
    within_transaction(conn)?;
    let stops_admin = change.is_active == Some(false)
        || change
            .roles
            .as_ref()
            .is_some_and(|roles| !roles.iter().any(|role| role == ADMIN));
    if stops_admin {
        guard::lock_admins(conn).await?;
    }
    let Some(was_active) = guard::lock_user(conn, id).await? else {
        return Ok(None);
    };
    guard::may_touch(conn, granted, id).await?;
    let roles = match &change.roles {
        Some(names) => Some(guard::roles(conn, names).await?),
        None => None,
    };
    if let Some(roles) = &roles {
        guard::may_give(conn, granted, roles).await?;
    }
    if stops_admin {
        guard::may_lose_admin(conn, id).await?;
    }

    write(conn, id, &change, clock).await?;
    if let Some(roles) = &roles {
        take_others(conn, id, roles).await?;
        give(conn, id, roles).await?;
    }
    if was_active && change.is_active == Some(false) {
        sessions::end_all(conn, id, EndReason::Deactivated, clock.now()).await?;
    }
    if change.password_hash.is_some() {
        sessions::end_all(conn, id, EndReason::PasswordChanged, clock.now()).await?;
    }
    Ok(read::by_id(conn, id).await?)
}

/// Removes a person with their sessions; says whether there was one.
///
/// # Errors
/// [`UserError::Escalation`], [`UserError::LastAdmin`].
pub async fn remove(
    conn: &mut PgConnection,
    granted: &Granted<UsersDelete>,
    id: UserId,
) -> Result<bool, UserError> {
    within_transaction(conn)?;
    guard::lock_admins(conn).await?;
    if guard::lock_user(conn, id).await?.is_none() {
        return Ok(false);
    }
    guard::may_touch(conn, granted, id).await?;
    guard::may_lose_admin(conn, id).await?;
    sqlx::query!("DELETE FROM tenantry.users WHERE id = $1", id.as_uuid())
        .execute(conn)
        .await?;
    Ok(true)
}

async fn write(
    conn: &mut PgConnection,
    id: UserId,
    change: &Change,
    clock: &Clock,
) -> Result<(), UserError> {
    sqlx::query!(
        "UPDATE tenantry.users SET
             email = COALESCE($2, email), name = COALESCE($3, name),
             is_active = COALESCE($4, is_active), password_hash = COALESCE($5, password_hash),
             updated_at = $6
         WHERE id = $1",
        id.as_uuid(),
        change.email.as_ref().map(tenantry_types::Email::as_str),
        change.name,
        change.is_active,
        change.password_hash.as_ref().map(PasswordHash::expose),
        clock.now(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn give(conn: &mut PgConnection, id: UserId, roles: &[Uuid]) -> Result<(), UserError> {
    sqlx::query!(
        "INSERT INTO tenantry.user_roles (user_id, role_id)
         SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING",
        id.as_uuid(),
        roles,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn take_others(conn: &mut PgConnection, id: UserId, keep: &[Uuid]) -> Result<(), UserError> {
    sqlx::query!(
        "DELETE FROM tenantry.user_roles WHERE user_id = $1 AND role_id <> ALL($2)",
        id.as_uuid(),
        keep,
    )
    .execute(conn)
    .await?;
    Ok(())
}
