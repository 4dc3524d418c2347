//! Operators: persons and programs that may run the control plane. Of a token only a hash is kept.

use sqlx::PgConnection;
use tenantry_types::{ErrorKind, OperatorId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::violated;

/// One operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its id.
    pub id: OperatorId,
    /// Its name, for people; one operator at a time has it.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when its token is worth nothing.
    pub revoked_at: Option<Timestamp>,
}

/// Why an operator was not inserted. The transaction is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// An operator that was not revoked has the name.
    #[error("an operator of this name exists")]
    NameTaken,
    /// Empty, or longer than 100 characters.
    #[error("an operator's name has 1 to 100 characters")]
    InvalidName,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Inserts an operator with the SHA-256 of its token.
///
/// # Errors
/// [`InsertError::NameTaken`], [`InsertError::InvalidName`], or when the catalog fails.
pub async fn insert(
    conn: &mut PgConnection,
    id: OperatorId,
    name: &str,
    token_hash: [u8; 32],
) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "INSERT INTO operators (id, name, token_hash) VALUES ($1, $2, $3)",
        id.as_uuid(),
        name,
        token_hash.as_slice(),
    )
    .execute(conn)
    .await;
    let Err(error) = done else { return Ok(()) };
    Err(match violated(&error) {
        Some("operators_name_key") => InsertError::NameTaken,
        Some("operators_name_shape") => InsertError::InvalidName,
        _ => CatalogError::from(error).into(),
    })
}

/// The operator whose token has this hash, unless it was revoked.
///
/// # Errors
/// When the catalog does not answer.
pub async fn by_token_hash(
    conn: &mut PgConnection,
    token_hash: &[u8; 32],
) -> Result<Option<Operator>, CatalogError> {
    let row = sqlx::query_as!(
        OperatorRow,
        "SELECT id, name, created_at, revoked_at FROM operators
         WHERE token_hash = $1 AND revoked_at IS NULL",
        token_hash.as_slice(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Operator::from))
}

/// All operators, also those revoked, the oldest first.
///
/// # Errors
/// When the catalog does not answer.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Operator>, CatalogError> {
    let rows = sqlx::query_as!(
        OperatorRow,
        "SELECT id, name, created_at, revoked_at FROM operators ORDER BY id"
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Operator::from).collect())
}

/// Revokes the operator of this id or name. `None`: there is none, or it was revoked before.
///
/// # Errors
/// When the catalog does not answer.
pub async fn revoke(
    conn: &mut PgConnection,
    id_or_name: &str,
) -> Result<Option<Operator>, CatalogError> {
    // A text in the shape of an id is taken as one.
    let id = id_or_name.parse::<OperatorId>().ok();
    let row = sqlx::query_as!(
        OperatorRow,
        "UPDATE operators SET revoked_at = clock_timestamp()
         WHERE revoked_at IS NULL AND CASE WHEN $1::uuid IS NULL THEN name = $2 ELSE id = $1 END
         RETURNING id, name, created_at, revoked_at",
        id.map(|id| id.as_uuid()),
        id_or_name,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Operator::from))
}

impl InsertError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NameTaken => ErrorKind::Conflict,
            Self::InvalidName => ErrorKind::Invalid,
            Self::Catalog(error) => error.kind(),
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NameTaken => "OPERATOR_NAME_TAKEN",
            Self::InvalidName => "INVALID_OPERATOR_NAME",
            Self::Catalog(error) => error.code(),
        }
    }
}

struct OperatorRow {
    id: Uuid,
    name: String,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

impl From<OperatorRow> for Operator {
    fn from(row: OperatorRow) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        }
    }
}
