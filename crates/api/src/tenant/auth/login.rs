//! `POST /auth/login`

use axum::response::Response;
use tenantry_tenantdb::sessions::{self, SessionError};
use tenantry_tenantdb::users;
use tenantry_types::{Email, ErrorKind, Secret, UserId};

use super::signed_in;
use crate::context::{ClientAddress, Visitor};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::problem::Problem;
use crate::throttle::{Attempt, TooMany};

pub(crate) struct Credentials {
    email: Email,
    password: Secret,
}

impl FromFields for Credentials {
    // Anyone may send one.
    const LARGEST: usize = 16 * 1024;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = fields.required("email", Email::parse);
        let password = fields.required_secret("password");
        Some(Self {
            email: email?,
            password: password?,
        })
    }
}

/// Begins a session. Who is unknown, inactive or wrong about the password gets one and the same
/// answer after the same work.
pub(crate) async fn handle(
    visitor: Visitor,
    ClientAddress(client): ClientAddress,
    Body(credentials): Body<Credentials>,
) -> Result<Response, Problem> {
    let app = &visitor.app;
    let mut attempt = app
        .throttle
        .attempt(visitor.tenant_id(), &credentials.email, client)
        .await
        .map_err(too_many)?;
    let Some(user) = check(&visitor, credentials, &mut attempt).await? else {
        attempt.failed();
        return Err(wrong());
    };
    attempt.succeeded();

    let lifetime = app.config.refresh_token_ttl;
    let lifetime = chrono::Duration::from_std(lifetime).map_err(Problem::internal)?;
    let mut conn = visitor.conn().await?;
    let session = sessions::begin(&mut conn, user, &app.clock, &app.entropy, lifetime).await;
    let session = match session {
        // Deactivated in this very moment.
        Err(SessionError::Inactive) => return Err(wrong()),
        session => session?,
    };
    conn.release();
    signed_in(&visitor, user, session)
}

/// The person whose password this is. No connection is held while it is hashed.
async fn check(
    visitor: &Visitor,
    credentials: Credentials,
    attempt: &mut Attempt,
) -> Result<Option<UserId>, Problem> {
    let mut conn = visitor.conn().await?;
    let found = users::credentials_by_email(&mut conn, &credentials.email).await?;
    conn.release();
    let (user, hash, is_active) = match found {
        Some((user, hash, is_active)) => (Some(user), hash, is_active),
        None => (None, None, false),
    };
    attempt.hashing();
    let right = visitor
        .app
        .hashing
        .verify(credentials.password, hash)
        .await?;
    Ok(user.filter(|_| right && is_active))
}

fn wrong() -> Problem {
    Problem::new(ErrorKind::Unauthenticated, "INVALID_CREDENTIALS")
}

fn too_many(error: TooMany) -> Problem {
    Problem::new(ErrorKind::RateLimited, "TOO_MANY_ATTEMPTS").retry_after(error.retry_after)
}
