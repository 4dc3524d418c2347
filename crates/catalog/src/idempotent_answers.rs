//! Answers of requests that came with an `Idempotency-Key`, so that their repetition gets the same.
//!
//! Creations have [`idempotency`](crate::idempotency) instead: their answer is that of their operation.
//! Sealed under the admin keys for
//! [`Place::idempotent_answer`](tenantry_vault::Place::idempotent_answer).

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{OperatorId, Timestamp};
use tenantry_vault::Sealed;
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

/// What a request with a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The first one, or the repetition of one whose process died: it is to be worked on.
    Ours,
    /// The repetition of one that is answered; the hash of that one, and its answer.
    Answered([u8; 32], Sealed),
    /// The repetition of one that is being worked on; the hash of that one.
    Running([u8; 32]),
}

/// Begins a request. One that was begun `patience` ago and never answered counts as dead.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn begin(
    conn: &mut PgConnection,
    operator: OperatorId,
    key: &str,
    request_hash: [u8; 32],
    attempt: Uuid,
    patience: Duration,
) -> Result<Begun, CatalogError> {
    loop {
        let ours = sqlx::query_scalar!(
            "INSERT INTO idempotent_answers AS a (operator_id, key, request_hash, attempt)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (operator_id, key) DO UPDATE
             SET attempt = excluded.attempt, begun_at = clock_timestamp()
             WHERE a.sealed IS NULL AND a.request_hash = excluded.request_hash
               AND a.begun_at < clock_timestamp() - make_interval(secs => $5)
             RETURNING attempt",
            operator.as_uuid(),
            key,
            request_hash.as_slice(),
            attempt,
            patience.as_secs_f64(),
        )
        .fetch_optional(&mut *conn)
        .await?;
        if ours.is_some() {
            return Ok(Begun::Ours);
        }
        let found = sqlx::query!(
            "SELECT request_hash, key_id, sealed FROM idempotent_answers
             WHERE operator_id = $1 AND key = $2",
            operator.as_uuid(),
            key,
        )
        .fetch_optional(&mut *conn)
        .await?;
        // Forgotten between the two statements: then it is begun anew.
        let Some(found) = found else { continue };
        let hash = found.request_hash.as_slice().try_into();
        let hash = Row::of("idempotent_answers", operator).column("request_hash", hash)?;
        return Ok(match (found.key_id, found.sealed) {
            (Some(key_id), Some(bytes)) => Begun::Answered(hash, Sealed { key_id, bytes }),
            _ => Begun::Running(hash),
        });
    }
}

/// Keeps the answer; does nothing if another attempt has taken over.
///
/// # Errors
/// When the catalog does not answer.
pub async fn answer(
    conn: &mut PgConnection,
    operator: OperatorId,
    key: &str,
    attempt: Uuid,
    sealed: &Sealed,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE idempotent_answers SET key_id = $4, sealed = $5
         WHERE operator_id = $1 AND key = $2 AND attempt = $3",
        operator.as_uuid(),
        key,
        attempt,
        sealed.key_id,
        sealed.bytes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Frees the key of a request that was refused or failed, so that it may be sent again; does nothing
/// if another attempt has taken over.
///
/// # Errors
/// When the catalog does not answer.
pub async fn forget(
    conn: &mut PgConnection,
    operator: OperatorId,
    key: &str,
    attempt: Uuid,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "DELETE FROM idempotent_answers WHERE operator_id = $1 AND key = $2 AND attempt = $3",
        operator.as_uuid(),
        key,
        attempt,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes what was begun before a moment; says how many.
///
/// # Errors
/// When the catalog does not answer.
pub async fn prune(conn: &mut PgConnection, older_than: Timestamp) -> Result<u64, CatalogError> {
    let done = sqlx::query!(
        "DELETE FROM idempotent_answers WHERE begun_at < $1",
        older_than
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
