//! Sign-ins and their refresh tokens.
//!
//! A session is a family of refresh tokens: each is used once and gives the next. A token that is
//! shown a second time was copied, by a thief or from one, and since nobody can tell which of the
//! two is asking, the whole family ends (RFC 9700, section 4.14.2). The table holds SHA-256 of 256
//! random bits: no salt or slow hash is needed where nothing can be guessed.
//!
//! A family lives as long as its sign-in was given; rotation does not prolong it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::SubsecRound;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use tenantry_types::{Clock, Entropy, ErrorKind, Secret, SessionId, Timestamp, UserId};

use crate::TenantDbError;
use crate::permission::{Granted, OwnAccount};

/// A session with the token that continues it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The session, the same for all tokens of the family.
    pub session: SessionId,
    /// To be used once.
    pub refresh_token: Secret,
    /// When the whole family ends by age.
    pub expires_at: Timestamp,
}

/// Why a session is not begun or continued.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No such token.
    #[error("the refresh token is not known")]
    Unknown,
    /// The family is over its age.
    #[error("the session has expired")]
    Expired,
    /// Ended before: signed out, the password was changed, …
    #[error("the session has ended")]
    Ended,
    /// The token was used before; its family has been ended.
    #[error("the refresh token was used before")]
    Reused,
    /// The person is not active, or is gone.
    #[error("the person is not active")]
    Inactive,
    /// The database's own reasons.
    #[error(transparent)]
    Db(#[from] TenantDbError),
}

impl SessionError {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Db(error) => error.kind(),
            _ => ErrorKind::Unauthenticated,
        }
    }

    /// The stable code for an API's answer. One for all refusals: which of them it is helps only
    /// someone who found a token.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Db(error) => error.code(),
            _ => "SESSION_ENDED",
        }
    }
}

impl From<sqlx::Error> for SessionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Begins a session for a person whose password was checked. One statement.
///
/// # Errors
/// [`SessionError::Inactive`] when the person is not active or is gone.
pub async fn begin(
    conn: &mut PgConnection,
    user: UserId,
    clock: &Clock,
    entropy: &Entropy,
    lifetime: chrono::Duration,
) -> Result<Issued, SessionError> {
    let now = clock.now();
    let token = Token::generate(entropy);
    let issued = Issued {
        session: SessionId::generate(clock, entropy),
        refresh_token: token.secret,
        // As Postgres keeps it.
        expires_at: (now + lifetime).trunc_subsecs(6),
    };
    // The lock makes this wait for a deactivation that is under way: it ends the sessions that it
    // sees, and must see this one or prevent it. No job visits each tenant to clear what is long
    // over, hence here; a day later than its age, so that clocks of two routers may differ.
    let begun = sqlx::query!(
        "WITH person AS (
             SELECT id FROM tenantry.users WHERE id = $1 AND is_active FOR SHARE
         ), old AS (
             DELETE FROM tenantry.sessions
             WHERE user_id = $1 AND expires_at < $3::timestamptz - interval '1 day'
         ), session AS (
             INSERT INTO tenantry.sessions (id, user_id, created_at, expires_at)
             SELECT $2, id, $3, $4 FROM person
             RETURNING id
         )
         INSERT INTO tenantry.refresh_tokens (token_hash, session_id, created_at)
         SELECT $5, id, $3 FROM session",
        user.as_uuid(),
        issued.session.as_uuid(),
        now,
        issued.expires_at,
        &token.hash,
    )
    .execute(conn)
    .await?
    .rows_affected();
    if begun == 1 {
        Ok(issued)
    } else {
        Err(SessionError::Inactive)
    }
}

/// Uses a token up and gives the next of its family. Of two uses of one token, however close
/// together, one wins and the other ends the family.
///
/// Runs its own transaction and must be called outside of one: the end of a family has to stay
/// although the call fails.
///
/// # Errors
/// [`SessionError::Reused`], [`Unknown`](SessionError::Unknown), [`Expired`](SessionError::Expired),
/// [`Ended`](SessionError::Ended), [`Inactive`](SessionError::Inactive).
pub async fn rotate(
    conn: &mut PgConnection,
    token: &Secret,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<(UserId, Issued), SessionError> {
    if conn.is_in_transaction() {
        return Err(SessionError::Db(TenantDbError::Transaction(
            "a rotation must run outside of a transaction",
        )));
    }
    let mut tx = conn.begin().await?;
    let outcome = rotate_locked(&mut tx, token, clock, entropy).await;
    if !matches!(outcome, Err(SessionError::Db(_))) {
        tx.commit().await?;
    }
    outcome
}

/// Ends the session of a token, used or not: signing out with what the client has left.
/// Says whether there was one to end.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn end_by_token(
    conn: &mut PgConnection,
    token: &Secret,
    clock: &Clock,
) -> Result<bool, TenantDbError> {
    let ended = sqlx::query!(
        "UPDATE tenantry.sessions s SET ended_at = $2, end_reason = 'signed-out'
         FROM tenantry.refresh_tokens t
         WHERE t.token_hash = $1 AND s.id = t.session_id AND s.ended_at IS NULL",
        &hash_of(token),
        clock.now(),
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected() > 0)
}

/// Ends one of the holder's own sessions. Says whether there was one to end.
///
/// # Errors
/// Only for the database's own reasons.
pub async fn end(
    conn: &mut PgConnection,
    granted: &Granted<OwnAccount>,
    session: SessionId,
    clock: &Clock,
) -> Result<bool, TenantDbError> {
    let ended = sqlx::query!(
        "UPDATE tenantry.sessions SET ended_at = $3, end_reason = 'signed-out'
         WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
        session.as_uuid(),
        granted.user_id().as_uuid(),
        clock.now(),
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected() > 0)
}

/// Why all sessions of a person end.
#[derive(Clone, Copy)]
pub(crate) enum EndReason {
    PasswordChanged,
    Deactivated,
}

/// Ends every session of a person, within the change that is the reason.
pub(crate) async fn end_all(
    conn: &mut PgConnection,
    user: UserId,
    reason: EndReason,
    now: Timestamp,
) -> Result<(), TenantDbError> {
    let reason = match reason {
        EndReason::PasswordChanged => "password-changed",
        EndReason::Deactivated => "deactivated",
    };
    sqlx::query!(
        "UPDATE tenantry.sessions SET ended_at = $2, end_reason = $3
         WHERE user_id = $1 AND ended_at IS NULL",
        user.as_uuid(),
        now,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn rotate_locked(
    conn: &mut PgConnection,
    token: &Secret,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<(UserId, Issued), SessionError> {
    let (now, hash) = (clock.now(), hash_of(token));
    // The lock on the session lines up everyone who rotates or ends it, and is taken before the
    // token's, as a deletion of the person does (no deadlock).
    let family = sqlx::query!(
        "SELECT s.id, s.user_id, s.expires_at, s.ended_at, u.is_active
         FROM tenantry.refresh_tokens t
         JOIN tenantry.sessions s ON s.id = t.session_id
         JOIN tenantry.users u ON u.id = s.user_id
         WHERE t.token_hash = $1
         FOR NO KEY UPDATE OF s",
        &hash,
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(SessionError::Unknown)?;

    let used = sqlx::query!(
        "UPDATE tenantry.refresh_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
        &hash,
        now,
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if used == 0 {
        end_reused(conn, SessionId::from_uuid(family.id), now).await?;
        return Err(SessionError::Reused);
    }
    if family.ended_at.is_some() {
        return Err(SessionError::Ended);
    }
    if family.expires_at <= now {
        return Err(SessionError::Expired);
    }
    if !family.is_active {
        return Err(SessionError::Inactive);
    }

    let next = Token::generate(entropy);
    sqlx::query!(
        "INSERT INTO tenantry.refresh_tokens (token_hash, session_id, created_at) VALUES ($1, $2, $3)",
        &next.hash,
        family.id,
        now,
    )
    .execute(conn)
    .await?;
    let issued = Issued {
        session: SessionId::from_uuid(family.id),
        refresh_token: next.secret,
        expires_at: family.expires_at,
    };
    Ok((UserId::from_uuid(family.user_id), issued))
}

async fn end_reused(
    conn: &mut PgConnection,
    session: SessionId,
    now: Timestamp,
) -> Result<(), TenantDbError> {
    let ended = sqlx::query!(
        "UPDATE tenantry.sessions SET ended_at = $2, end_reason = 'reused'
         WHERE id = $1 AND ended_at IS NULL",
        session.as_uuid(),
        now,
    )
    .execute(conn)
    .await?
    .rows_affected();
    if ended > 0 {
        tracing::warn!(%session, "a refresh token was used twice; its session has been ended");
    }
    Ok(())
}

struct Token {
    secret: Secret,
    hash: Vec<u8>,
}

impl Token {
    fn generate(entropy: &Entropy) -> Self {
        let secret = Secret::new(URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()));
        let hash = hash_of(&secret);
        Self { secret, hash }
    }
}

fn hash_of(token: &Secret) -> Vec<u8> {
    Sha256::digest(token.expose().as_bytes()).to_vec()
}
