//! Signing in, staying signed in, signing out.

pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod redeem;
pub(crate) mod refresh;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use sqlx::PgConnection;
use tenantry_tenantdb::sessions::{self, Issued, SessionError};
use tenantry_types::{Secret, TenantId, UserId};
use utoipa::ToSchema;

use crate::context::Visitor;
use crate::cookies;
use crate::openapi::words;
use crate::problem::Problem;
use crate::told::Told;

/// A session's tokens.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedIn {
    /// For `Authorization: Bearer`.
    #[schema(value_type = words::Secret)]
    access_token: Told,
    /// For `POST /auth/refresh`, once.
    #[schema(value_type = words::Secret)]
    refresh_token: Told,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token ends.
    #[schema(example = 900)]
    expires_in: u64,
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    #[schema(value_type = words::UserId)]
    user_id: UserId,
}

/// Begins a session for a person who has proven who they are. None: deactivated in this very moment.
async fn begin_session(
    visitor: &Visitor,
    conn: &mut PgConnection,
    user: UserId,
) -> Result<Option<Issued>, Problem> {
    let app = &visitor.app;
    let lifetime = chrono::Duration::from_std(app.config.refresh_token_ttl);
    let lifetime = lifetime.map_err(Problem::internal)?;
    match sessions::begin(conn, user, &app.clock, &app.entropy, lifetime).await {
        Ok(session) => Ok(Some(session)),
        Err(SessionError::Inactive) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The tokens of a session, in the body for programs and in cookies for browsers.
fn signed_in(visitor: &Visitor, user: UserId, session: Issued) -> Result<Response, Problem> {
    let mut headers = HeaderMap::new();
    let access = set_cookies(&mut headers, visitor, user, &session)?;
    let body = SignedIn {
        access_token: access.into(),
        refresh_token: session.refresh_token.into(),
        token_type: "Bearer",
        expires_in: visitor.app.tokens.lifetime().as_secs(),
        tenant_id: visitor.tenant_id(),
        user_id: user,
    };
    Ok((headers, Json(body)).into_response())
}

/// Gives a browser the tokens of a session, of which the access token is made here.
pub(crate) fn set_cookies(
    headers: &mut HeaderMap,
    visitor: &Visitor,
    user: UserId,
    session: &Issued,
) -> Result<Secret, Problem> {
    let app = &visitor.app;
    let who = (visitor.tenant_id(), user, session.session);
    let access = app
        .tokens
        .issue(who, &app.clock, &app.entropy)
        .map_err(Problem::internal)?;
    let left = (session.expires_at - app.clock.now()).num_seconds();
    let session_left = u64::try_from(left).unwrap_or(0);
    let tokens = (&access, &session.refresh_token);
    cookies::set(headers, tokens, session_left, &app.config);
    Ok(access)
}
