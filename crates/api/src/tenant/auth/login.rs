//! `POST /auth/login` at a tenant's host

use axum::response::Response;
use tenantry_tenantdb::sessions::Issued;
use tenantry_tenantdb::users;
use tenantry_types::UserId;

use super::{SignedIn, begin_session, signed_in};
use crate::context::{ClientAddress, Visitor};
use crate::json::Body;
use crate::problem::Problem;
use crate::sign_in::{Credentials, too_many, wrong};
use crate::throttle::Attempt;

/// Begins a session at the tenant. Who is unknown, inactive or wrong about the password gets one and
/// the same answer after the same work.
#[utoipa::path(
    post, path = "/auth/login", tag = "sign-in", operation_id = "signIn",
    request_body = Credentials,
    responses(
        (
            status = 200,
            description = "Signed in.",
            body = SignedIn,
            headers(("set-cookie" = String, description = "The same tokens for a browser.")),
        ),
    ),
    extensions(("x-problems" = json!(["INVALID_CREDENTIALS", "TOO_MANY_ATTEMPTS"]))),
)]
pub(crate) async fn handle(
    visitor: Visitor,
    client: ClientAddress,
    Body(credentials): Body<Credentials>,
) -> Result<Response, Problem> {
    let (user, session) = begin(&visitor, &client, credentials).await?;
    signed_in(&visitor, user, session)
}

/// Begins a session. Who is unknown, inactive or wrong about the password gets one and the same
/// answer after the same work.
///
/// # Errors
/// 401 `INVALID_CREDENTIALS`, 429 `TOO_MANY_ATTEMPTS`, and what can be wrong with the tenant.
pub(crate) async fn begin(
    visitor: &Visitor,
    client: &ClientAddress,
    credentials: Credentials,
) -> Result<(UserId, Issued), Problem> {
    let mut attempt = visitor
        .app
        .throttle
        .attempt(visitor.tenant_id(), &credentials.email, client.0)
        .await
        .map_err(too_many)?;
    let Some(user) = check(visitor, credentials, &mut attempt).await? else {
        attempt.failed();
        return Err(wrong());
    };
    attempt.succeeded();

    let mut conn = visitor.conn().await?;
    let session = begin_session(visitor, &mut conn, user).await?;
    conn.release();
    // None: deactivated in this very moment.
    Ok((user, session.ok_or_else(wrong)?))
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
