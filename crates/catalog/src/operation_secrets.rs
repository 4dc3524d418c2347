//! What a running operation must remember and nobody may read.
//!
//! Sealed under the admin keys for
//! [`Place::operation_secret`](tenantry_vault::Place::operation_secret).

use sqlx::PgConnection;
use tenantry_types::{OperationId, TenantId, Timestamp};
use tenantry_vault::Sealed;

use crate::CatalogError;

/// Keeps a secret under a name, in the place of one that was there. Without `expires_at` it is for
/// the running operation only; with it, it is an answer that waits to be read.
///
/// # Errors
/// When the catalog does not answer.
pub async fn put(
    conn: &mut PgConnection,
    operation: OperationId,
    name: &str,
    sealed: &Sealed,
    expires_at: Option<Timestamp>,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO operation_secrets (operation_id, name, key_id, sealed, expires_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (operation_id, name) DO UPDATE
         SET key_id = excluded.key_id, sealed = excluded.sealed, expires_at = excluded.expires_at",
        operation.as_uuid(),
        name,
        sealed.key_id,
        sealed.bytes,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A secret, which stays.
///
/// # Errors
/// When the catalog does not answer.
pub async fn get(
    conn: &mut PgConnection,
    operation: OperationId,
    name: &str,
) -> Result<Option<Sealed>, CatalogError> {
    Ok(sqlx::query_as!(
        Sealed,
        "SELECT key_id, sealed AS bytes FROM operation_secrets
         WHERE operation_id = $1 AND name = $2",
        operation.as_uuid(),
        name,
    )
    .fetch_optional(conn)
    .await?)
}

/// A secret for the one who asked. Unless it may be given `again`, of two who ask one gets it, and
/// later ones nothing: it is removed with the giving, or only noted as given where an idempotency
/// key can still ask for it. Does not wait for the disk: after a crash of the server in the same
/// moment the one who may not have got the answer can ask once more.
///
/// # Errors
/// When the catalog does not answer.
pub async fn tell(
    conn: &mut PgConnection,
    operation: OperationId,
    name: &str,
    again: bool,
) -> Result<Option<Sealed>, CatalogError> {
    if !again && let Some(removed) = remove_unkeyed(conn, operation, name).await? {
        return Ok(removed);
    }
    Ok(sqlx::query_as!(
        Sealed,
        "UPDATE operation_secrets SET told_at = coalesce(told_at, clock_timestamp())
         WHERE operation_id = $1 AND name = $2 AND ($3 OR told_at IS NULL)
           AND set_config('synchronous_commit', 'off', true) = 'off'
         RETURNING key_id, sealed AS bytes",
        operation.as_uuid(),
        name,
        again,
    )
    .fetch_optional(conn)
    .await?)
}

/// Removes a secret that no idempotency key can ask for; gives it unless it was told before. The outer
/// `None`: there is none, or a key can ask for it.
async fn remove_unkeyed(
    conn: &mut PgConnection,
    operation: OperationId,
    name: &str,
) -> Result<Option<Option<Sealed>>, CatalogError> {
    let removed = sqlx::query!(
        r#"DELETE FROM operation_secrets s WHERE operation_id = $1 AND name = $2
           AND set_config('synchronous_commit', 'off', true) = 'off'
           AND NOT EXISTS (SELECT FROM idempotency_keys k WHERE k.operation_id = s.operation_id)
           RETURNING key_id, sealed, told_at IS NULL AS "untold!""#,
        operation.as_uuid(),
        name,
    )
    .fetch_optional(conn)
    .await?;
    Ok(removed.map(|row| {
        row.untold.then_some(Sealed {
            key_id: row.key_id,
            bytes: row.sealed,
        })
    }))
}

/// Removes the secrets of all operations of a tenant, among them answers that nobody read.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove_of_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "DELETE FROM operation_secrets s USING operations o
         WHERE o.id = s.operation_id AND o.tenant_id = $1",
        tenant.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes what only the running operation needed: all of its secrets without an expiry.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove_working(
    conn: &mut PgConnection,
    operation: OperationId,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "DELETE FROM operation_secrets WHERE operation_id = $1 AND expires_at IS NULL",
        operation.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes all secrets of an operation, also an answer that nobody has read.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove_all(
    conn: &mut PgConnection,
    operation: OperationId,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "DELETE FROM operation_secrets WHERE operation_id = $1",
        operation.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes answers that nobody has read in time; says how many.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove_expired(conn: &mut PgConnection, now: Timestamp) -> Result<u64, CatalogError> {
    let done = sqlx::query!("DELETE FROM operation_secrets WHERE expires_at <= $1", now)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
