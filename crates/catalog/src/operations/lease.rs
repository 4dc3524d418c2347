//! The lease of an operation: taking it, keeping it, giving it back.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::OperationId;
use uuid::Uuid;

use super::{Operation, OperationRow};
use crate::CatalogError;

/// Takes the lease of an operation that nobody holds: its lease has ended, or it was released. The
/// fence rises. `None`: there is nothing to do.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn claim_next(
    conn: &mut PgConnection,
    holder: Uuid,
    ttl: Duration,
) -> Result<Option<Operation>, CatalogError> {
    claim_next_of(conn, holder, ttl, None).await
}

/// [`claim_next`], and with `only` one of these kinds.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn claim_next_of(
    conn: &mut PgConnection,
    holder: Uuid,
    ttl: Duration,
    only: Option<&[String]>,
) -> Result<Option<Operation>, CatalogError> {
    // A lease has ended by now(), the beginning of the transaction: earlier than the moment itself,
    // so never too early. A new one is counted from the moment itself.
    sqlx::query_as!(
        OperationRow,
        "WITH next AS MATERIALIZED (
           SELECT id FROM operations
           WHERE status IN ('running', 'undoing')
             AND (lease_until IS NULL OR lease_until < now())
             AND ($3::text[] IS NULL OR kind = ANY($3))
           ORDER BY lease_until NULLS FIRST, id
           LIMIT 1 FOR UPDATE SKIP LOCKED
         )
         UPDATE operations o
         SET lease_holder = $1, fence = o.fence + 1, updated_at = clock_timestamp(),
             lease_until = clock_timestamp() + make_interval(secs => $2)
         FROM next WHERE o.id = next.id
         RETURNING o.id, o.kind, o.tenant_id, o.status, o.params, o.result, o.error, o.asked_by,
                   o.request_id, o.fence, o.created_at, o.updated_at, o.finished_at,
                   o.cancel_asked_by, o.tries_after",
        holder,
        ttl.as_secs_f64(),
        only,
    )
    .fetch_optional(conn)
    .await?
    .map(OperationRow::decode)
    .transpose()
}

/// Renews the lease. `false`: it is another's now, or the operation has ended.
///
/// A lease that ended and that nobody took can still be renewed: the fence says so. Does not wait
/// for the disk: a renewal lost in a crash only lets the lease end earlier, and the fence keeps out
/// whoever still believes in it.
///
/// # Errors
/// When the catalog does not answer.
pub async fn renew(
    conn: &mut PgConnection,
    id: OperationId,
    fence: i64,
    ttl: Duration,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations SET lease_until = clock_timestamp() + make_interval(secs => $3)
         WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')
           AND set_config('synchronous_commit', 'off', true) = 'off'",
        id.as_uuid(),
        fence,
        ttl.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the lease back, so that another worker can go on at once. `false`: it was another's, or the
/// operation has ended.
///
/// # Errors
/// When the catalog does not answer.
pub async fn release(
    conn: &mut PgConnection,
    id: OperationId,
    fence: i64,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations SET lease_holder = NULL, lease_until = NULL
         WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing')",
        id.as_uuid(),
        fence,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether this worker still holds the operation; if so nobody takes it before the transaction ends.
///
/// For a transaction in which a worker writes to other tables: begin with this, and go no further
/// when it says `false`. A renewal by the same worker is not held up.
///
/// # Errors
/// When the catalog does not answer.
pub async fn hold(
    conn: &mut PgConnection,
    id: OperationId,
    fence: i64,
) -> Result<bool, CatalogError> {
    // KEY SHARE keeps out the FOR UPDATE of claim_next, and lets plain updates of the row pass.
    let held = sqlx::query_scalar!(
        "SELECT fence FROM operations
         WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing') FOR KEY SHARE",
        id.as_uuid(),
        fence,
    )
    .fetch_optional(conn)
    .await?;
    Ok(held.is_some())
}
