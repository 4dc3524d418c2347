//! What a person decides about an operation.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{OperationId, TenantId};

use super::{Operation, Status, by_id};
use crate::CatalogError;
use crate::error::Row;
use crate::{change_log, tenants};

/// The code in the error of an operation that was given up.
pub const ABANDONED: &str = "OPERATION_ABANDONED";

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is recorded.
    Taken,
    /// The operation does not stand so that this could be decided; it stands like this.
    Not(Status),
    /// There is no such operation.
    Unknown,
}

/// Asks the operation's driver to turn back at the next step's border. Asking twice is asking once.
///
/// # Errors
/// When the catalog does not answer.
pub async fn ask_to_cancel(
    conn: &mut PgConnection,
    id: OperationId,
    by: &str,
    reason: Option<&str>,
) -> Result<Decision, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations
         SET cancel_asked_by = coalesce(cancel_asked_by, $2),
             cancel_asked_at = coalesce(cancel_asked_at, clock_timestamp()),
             cancel_reason = coalesce(cancel_reason, $3)
         WHERE id = $1 AND status = 'running'",
        id.as_uuid(),
        by,
        reason,
    )
    .execute(&mut *conn)
    .await?;
    decided(conn, id, done.rows_affected()).await
}

/// Lets an operation be taken up at once: a parked one goes on where it stopped, forwards or
/// backwards, with as many tries as a new one; one that waits for its next try waits no longer. A
/// tenant that the parking has marked gets its state back.
///
/// # Errors
/// When the catalog does not answer.
pub async fn retry(conn: &mut PgConnection, id: OperationId) -> Result<Decision, CatalogError> {
    let marked = sqlx::query!(
        "WITH parked AS (
           SELECT id, tenant_id, parked_from FROM operations
           WHERE id = $1 AND status = 'parked' FOR UPDATE
         )
         UPDATE operations o
         SET status = CASE WHEN EXISTS (SELECT FROM operation_steps s
                                        WHERE s.operation_id = o.id AND s.event = 'undo_started')
                           THEN 'undoing' ELSE 'running' END,
             tries_after = o.steps, parked_from = NULL, lease_until = NULL, lease_holder = NULL,
             updated_at = clock_timestamp()
         FROM parked WHERE o.id = parked.id
         RETURNING parked.tenant_id, parked.parked_from",
        id.as_uuid(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(marked) = marked {
        if let (Some(tenant), Some(from)) = (marked.tenant_id, marked.parked_from) {
            tenants::stand_as_before(conn, tenant.into(), &from).await?;
            change_log::append(conn, tenant.into(), change_log::Kind::Updated).await?;
        }
        return Ok(Decision::Taken);
    }
    // One that its driver gave back for a while: the lease is what it waits for. A driver that is at
    // work renews its own within seconds, and the fence keeps a second one from writing.
    let waiting = sqlx::query!(
        "UPDATE operations SET lease_until = NULL, lease_holder = NULL, tries_after = steps
         WHERE id = $1 AND status IN ('running', 'undoing') AND lease_until > clock_timestamp()
           AND EXISTS (SELECT FROM operation_steps s WHERE s.operation_id = operations.id
                       AND s.seq = operations.steps AND s.event IN ('failed', 'undo_failed'))",
        id.as_uuid(),
    )
    .execute(&mut *conn)
    .await?;
    decided(conn, id, waiting.rows_affected()).await
}

/// Gives up a parked operation: it ends as failed, with this error. What it left half-way stays.
///
/// # Errors
/// When the catalog does not answer.
pub async fn abandon(
    conn: &mut PgConnection,
    id: OperationId,
    error: &Value,
) -> Result<Decision, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operations
         SET status = 'failed', result = jsonb_build_object('parkedWith', error), error = $2,
             updated_at = clock_timestamp(), finished_at = clock_timestamp()
         WHERE id = $1 AND status = 'parked'",
        id.as_uuid(),
        error,
    )
    .execute(&mut *conn)
    .await?;
    decided(conn, id, done.rows_affected()).await
}

/// The newest operation of a kind that was given up for a tenant: what it left half-way may still be there.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn given_up(
    conn: &mut PgConnection,
    tenant: TenantId,
    kind: &str,
) -> Result<Option<Operation>, CatalogError> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM operations
         WHERE tenant_id = $1 AND kind = $2 AND status = 'failed' AND error ->> 'code' = $3
         ORDER BY id DESC LIMIT 1",
        tenant.as_uuid(),
        kind,
        ABANDONED,
    )
    .fetch_optional(&mut *conn)
    .await?;
    match id {
        Some(id) => by_id(conn, id.into()).await,
        None => Ok(None),
    }
}

/// Keeps how a tenant stood when its operation was parked, for [`retry`].
///
/// # Errors
/// When the catalog does not answer.
pub async fn remember_standing(
    conn: &mut PgConnection,
    id: OperationId,
    standing: &Value,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE operations SET parked_from = $2 WHERE id = $1 AND status = 'parked'",
        id.as_uuid(),
        standing,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn decided(
    conn: &mut PgConnection,
    id: OperationId,
    rows: u64,
) -> Result<Decision, CatalogError> {
    if rows == 1 {
        return Ok(Decision::Taken);
    }
    let status = sqlx::query_scalar!("SELECT status FROM operations WHERE id = $1", id.as_uuid())
        .fetch_optional(conn)
        .await?;
    match status {
        Some(status) => {
            let status = Row::of("operations", id).column("status", status.parse())?;
            Ok(Decision::Not(status))
        }
        None => Ok(Decision::Unknown),
    }
}
