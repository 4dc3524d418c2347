//! One-time codes: a sign-in that was proven at the base domain is finished at the tenant's own host.
//!
//! A code is good once and for about a minute, in the database that keeps it and in no other. The
//! table holds SHA-256 of 256 random bits, as it does for refresh tokens. A code stands for the
//! password hash that was proven: when that changes, or its person is deactivated or removed, it is
//! worth nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::SubsecRound;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use tenantry_types::{Clock, Entropy, ErrorKind, Secret, Timestamp, UserId};

use crate::TenantDbError;
use crate::error::sqlstate;
use crate::passwords::PasswordHash;

/// How many codes of one person are good at a time; a further one ends the oldest.
pub const MOST_PER_USER: i64 = 5;

/// A code to be redeemed once.
#[derive(Clone, Debug)]
pub struct Issued {
    /// 43 characters of base64url.
    pub code: Secret,
    /// When it ends by age.
    pub expires_at: Timestamp,
}

/// Why no code was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Deactivated, removed, or given another password since this one was proven.
    #[error("the person is not active or has another password now")]
    Changed,
    /// The database lacks the table: it was not migrated yet.
    #[error("the database has no table of sign-in codes yet: run `tenantry migrate-all`")]
    NotMigrated,
    /// The database's own reasons.
    #[error(transparent)]
    Db(#[from] TenantDbError),
}

impl IssueError {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Changed => ErrorKind::Unauthenticated,
            Self::NotMigrated => ErrorKind::Unavailable,
            Self::Db(error) => error.kind(),
        }
    }

    /// The stable code for an API's answer.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Changed => "INVALID_CREDENTIALS",
            Self::NotMigrated => "DATABASE_UNAVAILABLE",
            Self::Db(error) => error.code(),
        }
    }
}

impl From<sqlx::Error> for IssueError {
    fn from(error: sqlx::Error) -> Self {
        // undefined_table
        if sqlstate(&error).as_deref() == Some("42P01") {
            Self::NotMigrated
        } else {
            Self::Db(error.into())
        }
    }
}

/// Makes a code for a person whose password was just proven against `proven`. One statement.
///
/// # Errors
/// [`IssueError::Changed`] when that is not their password any more, or they are not active;
/// [`IssueError::NotMigrated`].
pub async fn issue(
    conn: &mut PgConnection,
    user: UserId,
    proven: &PasswordHash,
    clock: &Clock,
    entropy: &Entropy,
    lifetime: chrono::Duration,
) -> Result<Issued, IssueError> {
    let now = clock.now();
    let code = Secret::new(URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()));
    // As Postgres keeps it.
    let expires_at = (now + lifetime).trunc_subsecs(6);
    // No job visits each tenant to clear what is over, hence here; what another statement is at is
    // passed over, so that two of them never wait for each other.
    let made = sqlx::query!(
        "WITH over AS (
             SELECT code_hash FROM tenantry.sign_in_codes WHERE expires_at <= $4
             LIMIT 100 FOR UPDATE SKIP LOCKED
         ), surplus AS (
             SELECT code_hash FROM tenantry.sign_in_codes WHERE user_id = $2
             ORDER BY created_at DESC OFFSET $6 FOR UPDATE SKIP LOCKED
         ), swept AS (
             DELETE FROM tenantry.sign_in_codes
             WHERE code_hash IN (SELECT code_hash FROM over UNION SELECT code_hash FROM surplus)
         )
         INSERT INTO tenantry.sign_in_codes (code_hash, user_id, proven, created_at, expires_at)
         SELECT $1, id, sha256(convert_to(password_hash, 'UTF8')), $4, $5
         FROM tenantry.users WHERE id = $2 AND is_active AND password_hash = $3",
        &hash_of(&code),
        user.as_uuid(),
        proven.expose(),
        now,
        expires_at,
        MOST_PER_USER - 1,
    )
    .execute(conn)
    .await?
    .rows_affected();
    if made == 1 {
        Ok(Issued { code, expires_at })
    } else {
        Err(IssueError::Changed)
    }
}

/// Uses a code up and tells whose it was; `None` when it is unknown, used, over, or its person is
/// not active or has another password now. Of two who use one code at once, one gets the person.
///
/// # Errors
/// Only for the database's own reasons; then, in a transaction that is rolled back, the code is
/// still good.
pub async fn redeem(
    conn: &mut PgConnection,
    code: &Secret,
    clock: &Clock,
) -> Result<Option<UserId>, TenantDbError> {
    let user = sqlx::query_scalar!(
        "WITH used AS (
             DELETE FROM tenantry.sign_in_codes WHERE code_hash = $1
             RETURNING user_id, proven, expires_at
         )
         SELECT u.id FROM used JOIN tenantry.users u ON u.id = used.user_id
         WHERE used.expires_at > $2 AND u.is_active
           AND sha256(convert_to(u.password_hash, 'UTF8')) = used.proven",
        &hash_of(code),
        clock.now(),
    )
    .fetch_optional(conn)
    .await;
    match user {
        Ok(user) => Ok(user.map(UserId::from_uuid)),
        // No table, no codes: whatever was sent is none.
        Err(error) if sqlstate(&error).as_deref() == Some("42P01") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn hash_of(code: &Secret) -> Vec<u8> {
    Sha256::digest(code.expose().as_bytes()).to_vec()
}
