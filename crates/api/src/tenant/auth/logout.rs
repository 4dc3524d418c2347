//! `POST /auth/logout`

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tenantry_router::TenantConn;
use tenantry_tenantdb::permission::OwnAccount;
use tenantry_tenantdb::{principals, sessions};
use tenantry_types::Secret;

use super::refresh::Token;
use crate::context::{AccessToken, RefreshCookie, Visitor};
use crate::cookies;
use crate::json::OptionalBody;
use crate::problem::Problem;
use crate::tokens::Claims;

/// Ends the session that the client still shows something of: its access token, its refresh token,
/// or both. Who shows nothing that counts any more is signed out already.
#[utoipa::path(
    post, path = "/auth/logout", tag = "sign-in", operation_id = "signOut",
    request_body = Option<Token>,
    responses(
        (
            status = 204,
            description = "Signed out.",
            headers(("set-cookie" = String, description = "Removes what a browser has kept.")),
        ),
    ),
    extensions(("x-problems" = json!(["CROSS_SITE", "PERMISSION_DENIED", "UNAUTHENTICATED"]))),
)]
pub(crate) async fn handle(
    visitor: Visitor,
    AccessToken(access): AccessToken,
    RefreshCookie(cookie): RefreshCookie,
    OptionalBody(body): OptionalBody<Token>,
) -> Result<Response, Problem> {
    let sent = body.and_then(|body| body.refresh_token);
    let refresh = match (sent, cookie) {
        (None, Some(cookie)) => Some(cookie?),
        (sent, _) => sent,
    };
    end_session(&visitor, access?, refresh).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    cookies::clear(response.headers_mut(), &visitor.app.config);
    Ok(response)
}

/// Ends the session that these tokens are of.
///
/// # Errors
/// 403 `WRONG_TENANT` when the access token is another tenant's, and what can be wrong with this one.
pub(crate) async fn end_session(
    visitor: &Visitor,
    access: Option<Secret>,
    refresh: Option<Secret>,
) -> Result<(), Problem> {
    let claims = match access {
        Some(token) => claims_of(visitor, &token)?,
        None => None,
    };
    if claims.is_some() || refresh.is_some() {
        let mut conn = visitor.conn().await?;
        end(&mut conn, visitor, claims, refresh).await?;
        conn.release();
    }
    Ok(())
}

/// What the access token says, if it is one and has not ended.
fn claims_of(visitor: &Visitor, token: &Secret) -> Result<Option<Claims>, Problem> {
    let app = &visitor.app;
    let Ok(claims) = app.tokens.verify(token.expose(), app.clock.now()) else {
        return Ok(None);
    };
    if claims.tid == visitor.tenant_id() {
        Ok(Some(claims))
    } else {
        Err(Problem::wrong_tenant())
    }
}

async fn end(
    conn: &mut TenantConn,
    visitor: &Visitor,
    claims: Option<Claims>,
    refresh: Option<Secret>,
) -> Result<(), Problem> {
    let clock = &visitor.app.clock;
    if let Some(token) = refresh {
        sessions::end_by_token(conn, &token, clock).await?;
    }
    let Some(claims) = claims else { return Ok(()) };
    let Some(principal) = principals::load(conn, claims.sub, claims.sid, clock).await? else {
        return Ok(());
    };
    let granted = principal.grants.require::<OwnAccount>();
    let granted = granted.map_err(|denied| {
        Problem::permission_denied(format!("{}:{}", denied.resource, denied.action))
    })?;
    sessions::end(conn, &granted, claims.sid, clock).await?;
    Ok(())
}
