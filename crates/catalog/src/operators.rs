//! Operators: persons and programs that may run the control plane, what each may do, and until when its
//! token is good. Of a token only a hash is kept.

use sqlx::PgConnection;
use tenantry_types::{ErrorKind, OperatorId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::{Row, violated};

words! {
    /// What an operator may do.
    pub enum Role {
        /// Everything, operators and their tokens included.
        Owner = "owner",
        /// Tenants, clusters and operations.
        Operator = "operator",
        /// Read what holds no secret.
        ReadOnly = "read_only",
        /// Create tenants, and read what it created.
        Provisioner = "provisioner",
    }
}

/// One operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its id.
    pub id: OperatorId,
    /// Its name, for people; one operator at a time has it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its token ends; none: never.
    pub expires_at: Option<Timestamp>,
    /// Until when the token before its present one is good, where there is one.
    pub former_until: Option<Timestamp>,
    /// When its token was last used, to within some minutes.
    pub last_used_at: Option<Timestamp>,
    /// Since when its token is worth nothing.
    pub revoked_at: Option<Timestamp>,
}

/// An operator that is to be.
#[derive(Clone, Debug)]
pub struct NewOperator<'a> {
    /// Its id.
    pub id: OperatorId,
    /// Its name.
    pub name: &'a str,
    /// What it may do.
    pub role: Role,
    /// When its token ends; none: never.
    pub expires_at: Option<Timestamp>,
    /// The SHA-256 of its token.
    pub token_hash: [u8; 32],
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This operator's, and good.
    Good(Operator),
    /// It was an operator's, and its time is over.
    Expired,
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

/// Waits until nobody else changes operators, and keeps others from it until the transaction ends: so that
/// two owners cannot end each other, and one who has just lost the right changes nothing any more.
///
/// # Errors
/// When the catalog does not answer.
pub async fn lock(conn: &mut PgConnection) -> Result<(), CatalogError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK)
        .execute(conn)
        .await?;
    Ok(())
}

/// Inserts an operator.
///
/// # Errors
/// [`InsertError::NameTaken`], [`InsertError::InvalidName`], or when the catalog fails.
pub async fn insert(conn: &mut PgConnection, new: &NewOperator<'_>) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "INSERT INTO operators (id, name, role, expires_at, token_hash) VALUES ($1, $2, $3, $4, $5)",
        new.id.as_uuid(),
        new.name,
        new.role.as_str(),
        new.expires_at,
        new.token_hash.as_slice(),
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

/// The operator whose token has this hash, unless it was revoked. By the catalog's clock.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_token_hash(
    conn: &mut PgConnection,
    token_hash: &[u8; 32],
) -> Result<Option<Holder>, CatalogError> {
    let row = sqlx::query!(
        r#"SELECT id, name, role, created_at, expires_at, former_until, last_used_at, revoked_at,
                  (expires_at IS NULL OR expires_at > now())
                    AND (token_hash = $1 OR former_until > now()) AS "good!",
                  last_used_at IS NULL OR last_used_at < now() - make_interval(secs => $2) AS "unused!"
           FROM operators
           WHERE (token_hash = $1 OR former_token_hash = $1) AND revoked_at IS NULL"#,
        token_hash.as_slice(),
        USED_EVERY,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if !row.good {
        return Ok(Some(Holder::Expired));
    }
    if row.unused {
        // Once in some minutes: a request is no write. Nor does it fail where none can be made, as on a
        // standby.
        let noted = sqlx::query!(
            "UPDATE operators SET last_used_at = now()
             WHERE id = $1 AND last_used_at IS NOT DISTINCT FROM $2",
            row.id,
            row.last_used_at,
        )
        .execute(conn)
        .await;
        if let Err(error) = noted {
            tracing::debug!(%error, "the use of a token could not be noted");
        }
    }
    let found = OperatorRow {
        id: row.id,
        name: row.name,
        role: row.role,
        created_at: row.created_at,
        expires_at: row.expires_at,
        former_until: row.former_until,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    };
    Ok(Some(Holder::Good(found.decode()?)))
}

/// All operators, also those revoked, the oldest first.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Operator>, CatalogError> {
    sqlx::query_as!(
        OperatorRow,
        "SELECT id, name, role, created_at, expires_at, former_until, last_used_at, revoked_at
         FROM operators ORDER BY id"
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(OperatorRow::decode)
    .collect()
}

/// The operator of this id or name that was not revoked.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_ref(
    conn: &mut PgConnection,
    id_or_name: &str,
) -> Result<Option<Operator>, CatalogError> {
    // A text in the shape of an id is taken as one.
    let id = id_or_name.parse::<OperatorId>().ok();
    sqlx::query_as!(
        OperatorRow,
        "SELECT id, name, role, created_at, expires_at, former_until, last_used_at, revoked_at
         FROM operators
         WHERE revoked_at IS NULL AND CASE WHEN $1::uuid IS NULL THEN name = $2 ELSE id = $1 END",
        id.map(|id| id.as_uuid()),
        id_or_name,
    )
    .fetch_optional(conn)
    .await?
    .map(OperatorRow::decode)
    .transpose()
}

/// Revokes an operator, its present token and the one before; gives since when. `None`: it was revoked
/// before.
///
/// # Errors
/// When the catalog does not answer.
pub async fn revoke(
    conn: &mut PgConnection,
    id: OperatorId,
) -> Result<Option<Timestamp>, CatalogError> {
    let since = sqlx::query_scalar!(
        "UPDATE operators
         SET revoked_at = clock_timestamp(), former_token_hash = NULL, former_until = NULL
         WHERE id = $1 AND revoked_at IS NULL
         RETURNING revoked_at",
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(since.flatten())
}

/// Sets what an operator may do and when its token ends.
///
/// # Errors
/// When the catalog does not answer.
pub async fn update(
    conn: &mut PgConnection,
    id: OperatorId,
    role: Role,
    expires_at: Option<Timestamp>,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE operators SET role = $2, expires_at = $3 WHERE id = $1 AND revoked_at IS NULL",
        id.as_uuid(),
        role.as_str(),
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives an operator another token. The present one is good until `former_until`, or no more; the one
/// before that is no more in any case. `false`: it was revoked.
///
/// # Errors
/// When the catalog does not answer.
pub async fn replace_token(
    conn: &mut PgConnection,
    id: OperatorId,
    token_hash: [u8; 32],
    expires_at: Option<Timestamp>,
    former_until: Option<Timestamp>,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE operators
         SET former_token_hash = CASE WHEN $4::timestamptz IS NOT NULL THEN token_hash END,
             former_until = $4, token_hash = $2, expires_at = $3
         WHERE id = $1 AND revoked_at IS NULL",
        id.as_uuid(),
        token_hash.as_slice(),
        expires_at,
        former_until,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many owners there are whose token never ends.
///
/// # Errors
/// When the catalog does not answer.
pub async fn lasting_owners(conn: &mut PgConnection) -> Result<i64, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM operators
           WHERE role = 'owner' AND revoked_at IS NULL AND expires_at IS NULL"#
    )
    .fetch_one(conn)
    .await?)
}

/// Whether this operator asked for the creation of this tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn created_tenant(
    conn: &mut PgConnection,
    operator: OperatorId,
    tenant: tenantry_types::TenantId,
) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM operations
                          WHERE tenant_id = $1 AND operator_id = $2 AND kind = 'create') AS "own!""#,
        tenant.as_uuid(),
        operator.as_uuid(),
    )
    .fetch_one(conn)
    .await?)
}

/// Whether this operator asked for this creation.
///
/// # Errors
/// When the catalog does not answer.
pub async fn asked_for_creation(
    conn: &mut PgConnection,
    operator: OperatorId,
    operation: tenantry_types::OperationId,
) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM operations
                          WHERE id = $1 AND operator_id = $2 AND kind = 'create') AS "own!""#,
        operation.as_uuid(),
        operator.as_uuid(),
    )
    .fetch_one(conn)
    .await?)
}

/// The key of the advisory lock: "tn.opers" in ASCII.
const LOCK: i64 = 0x746e_2e6f_7065_7273;

/// How many seconds `last_used_at` may be behind.
const USED_EVERY: f64 = 300.0;

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
    role: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    former_until: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl OperatorRow {
    fn decode(self) -> Result<Operator, CatalogError> {
        let row = Row::of("operators", self.id);
        Ok(Operator {
            id: self.id.into(),
            name: self.name,
            role: row.column("role", self.role.parse())?,
            created_at: self.created_at,
            expires_at: self.expires_at,
            former_until: self.former_until,
            last_used_at: self.last_used_at,
            revoked_at: self.revoked_at,
        })
    }
}
