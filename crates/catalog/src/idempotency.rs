//! Idempotency keys: which operation a request began, so that its repetition begins no second one.

use sqlx::PgConnection;
use tenantry_types::{ErrorKind, OperationId, OperatorId, Timestamp};

use crate::CatalogError;
use crate::error::Row;

/// What a key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The hash of the request that came with the key.
    pub request_hash: [u8; 32],
    /// The operation that it began.
    pub operation_id: OperationId,
}

/// Why a key was not inserted.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// Another request has used it. Roll back, and [`find`] what came of that one.
    #[error("the idempotency key was used before")]
    KeyTaken,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What an operator's key was used for.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn find(
    conn: &mut PgConnection,
    operator: OperatorId,
    key: &str,
) -> Result<Option<Found>, CatalogError> {
    let found = sqlx::query!(
        "SELECT request_hash, operation_id FROM idempotency_keys
         WHERE operator_id = $1 AND key = $2",
        operator.as_uuid(),
        key,
    )
    .fetch_optional(conn)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let hash = found.request_hash.as_slice().try_into();
    Ok(Some(Found {
        request_hash: Row::of("idempotency_keys", operator).column("request_hash", hash)?,
        operation_id: found.operation_id.into(),
    }))
}

/// Binds a key to the operation that was inserted in the same transaction.
///
/// Waits while another transaction is inserting the same key. Call it right after
/// [`operations::insert_leased`](crate::operations::insert_leased) and before whatever else can
/// clash (the slug, a domain): else two equal requests at once would fight over the slug, and the
/// second be told that it is taken, by itself.
///
/// # Errors
/// [`InsertError::KeyTaken`], or when the catalog fails.
pub async fn insert(
    conn: &mut PgConnection,
    operator: OperatorId,
    key: &str,
    request_hash: [u8; 32],
    operation: OperationId,
) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "INSERT INTO idempotency_keys (operator_id, key, request_hash, operation_id)
         VALUES ($1, $2, $3, $4) ON CONFLICT (operator_id, key) DO NOTHING",
        operator.as_uuid(),
        key,
        request_hash.as_slice(),
        operation.as_uuid(),
    )
    .execute(conn)
    .await
    .map_err(CatalogError::from)?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(InsertError::KeyTaken)
    }
}

/// Removes keys that were used before a moment; says how many.
///
/// # Errors
/// When the catalog does not answer.
pub async fn prune(conn: &mut PgConnection, older_than: Timestamp) -> Result<u64, CatalogError> {
    let done = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE created_at < $1",
        older_than
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Frees a key whose operation failed, so that the same request may try again; does nothing when
/// the key has begun another operation meanwhile.
///
/// # Errors
/// When the catalog does not answer.
pub async fn forget(
    conn: &mut PgConnection,
    operator: OperatorId,
    key: &str,
    operation: OperationId,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "DELETE FROM idempotency_keys WHERE operator_id = $1 AND key = $2 AND operation_id = $3",
        operator.as_uuid(),
        key,
        operation.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl InsertError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::KeyTaken => ErrorKind::Conflict,
            Self::Catalog(error) => error.kind(),
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyTaken => "IDEMPOTENCY_KEY_REUSED",
            Self::Catalog(error) => error.code(),
        }
    }
}
