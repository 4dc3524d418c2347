//! Reading people.

use sqlx::PgConnection;
use tenantry_types::{Email, Timestamp, UserId};
use uuid::Uuid;

use super::User;
use crate::TenantDbError;
use crate::passwords::PasswordHash;
use crate::permission::{Granted, OwnAccount, Permission, UsersList, UsersRead};

struct Row {
    id: Uuid,
    email: String,
    name: String,
    is_active: bool,
    roles: Vec<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// One page of people in the order they were added, and where the next one begins.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn page(
    conn: &mut PgConnection,
    _granted: &Granted<UsersList>,
    limit: u32,
    after: Option<UserId>,
) -> Result<(Vec<User>, Option<UserId>), TenantDbError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT u.id, u.email, u.name, u.is_active, u.created_at, u.updated_at,
                  ARRAY(SELECT r.name
                        FROM tenantry.user_roles ur JOIN tenantry.roles r ON r.id = ur.role_id
                        WHERE ur.user_id = u.id ORDER BY 1) AS "roles!"
           FROM tenantry.users u
           WHERE $1::uuid IS NULL OR u.id > $1
           ORDER BY u.id
           LIMIT $2"#,
        after.map(Uuid::from),
        // One more than asked for shows whether there is a next page.
        i64::try_from(limit).map_or(i64::MAX, |limit| limit.saturating_add(1)),
    )
    .fetch_all(conn)
    .await?;
    let mut users: Vec<User> = rows.into_iter().map(User::from).collect();
    let more = users.len() > limit;
    users.truncate(limit);
    let next = users.last().filter(|_| more).map(|user| user.id);
    Ok((users, next))
}

/// One person.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn get(
    conn: &mut PgConnection,
    _granted: &Granted<UsersRead>,
    id: UserId,
) -> Result<Option<User>, TenantDbError> {
    by_id(conn, id).await
}

/// The person who asks.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn own(
    conn: &mut PgConnection,
    granted: &Granted<OwnAccount>,
) -> Result<Option<User>, TenantDbError> {
    by_id(conn, granted.user_id()).await
}

/// The address of a person who is about to be changed or removed.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn address<P: Permission>(
    conn: &mut PgConnection,
    _granted: &Granted<P>,
    id: UserId,
) -> Result<Option<String>, TenantDbError> {
    Ok(sqlx::query_scalar!(
        "SELECT email FROM tenantry.users WHERE id = $1",
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?)
}

/// A page of the addresses that people sign in with, and where the next one begins.
///
/// Needs no permission, for it is read for nobody: the catalog's directory is compared with it. An
/// address in a form that no sign-in asks for is left out; a product may write to the table, too.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn addresses(
    conn: &mut PgConnection,
    limit: u32,
    after: Option<UserId>,
) -> Result<(Vec<Email>, Option<UserId>), TenantDbError> {
    let rows = sqlx::query!(
        "SELECT id, email FROM tenantry.users
         WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2",
        after.map(Uuid::from),
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    let whole = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
    let next = rows.last().filter(|_| whole);
    let next = next.map(|row| UserId::from_uuid(row.id));
    let addresses = rows.into_iter().filter_map(|row| {
        let email = Email::parse(&row.email).ok()?;
        (email.as_str() == row.email).then_some(email)
    });
    Ok((addresses.collect(), next))
}

/// What a sign-in is checked against: the person, their hash, and whether they are active.
///
/// Needs no permission, for nobody is signed in yet. Whatever it finds, check the password with
/// [`Hashing::verify`](crate::passwords::Hashing::verify) before answering. A hash that is none of
/// ours counts as no password.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn credentials_by_email(
    conn: &mut PgConnection,
    email: &Email,
) -> Result<Option<(UserId, Option<PasswordHash>, bool)>, TenantDbError> {
    let row = sqlx::query!(
        "SELECT id, password_hash, is_active FROM tenantry.users WHERE email = $1",
        email.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let id = UserId::from_uuid(row.id);
        let hash = row.password_hash.and_then(|text| {
            PasswordHash::parse(&text)
                .inspect_err(
                    |_| tracing::warn!(user = %id, "the stored password hash is not usable"),
                )
                .ok()
        });
        (id, hash, row.is_active)
    }))
}

pub(super) async fn by_id(
    conn: &mut PgConnection,
    id: UserId,
) -> Result<Option<User>, TenantDbError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT u.id, u.email, u.name, u.is_active, u.created_at, u.updated_at,
                  ARRAY(SELECT r.name
                        FROM tenantry.user_roles ur JOIN tenantry.roles r ON r.id = ur.role_id
                        WHERE ur.user_id = u.id ORDER BY 1) AS "roles!"
           FROM tenantry.users u
           WHERE u.id = $1"#,
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(User::from))
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: UserId::from_uuid(row.id),
            email: row.email,
            name: row.name,
            is_active: row.is_active,
            roles: row.roles,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
