//! `POST /auth/refresh`

use axum::response::{IntoResponse, Response};
use tenantry_tenantdb::sessions::{self, SessionError};
use tenantry_types::{ErrorKind, Secret};
use utoipa::ToSchema;

use super::{SignedIn, signed_in};
use crate::context::{RefreshCookie, Visitor};
use crate::cookies;
use crate::fields::{Fields, FromFields};
use crate::json::OptionalBody;
use crate::openapi::words;
use crate::problem::Problem;

/// What a program sends; a browser has it in a cookie.
#[derive(ToSchema)]
#[schema(as = RefreshToken, rename_all = "camelCase", examples(json!({ "refreshToken": "the one that was told last" })))]
pub(crate) struct Token {
    #[schema(value_type = words::Secret, required = false)]
    pub(super) refresh_token: Option<Secret>,
}

impl FromFields for Token {
    // Anyone may send one.
    const LARGEST: usize = 16 * 1024;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            refresh_token: fields.secret("refreshToken"),
        })
    }
}

/// Goes on with a session: the token is used up and a new one given. A token that is used a second
/// time ends its session, because then two parties have it.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "sign-in", operation_id = "refreshSession",
    request_body = Option<Token>,
    responses(
        (
            status = 200,
            description = "New tokens; the one that was sent is used up.",
            body = SignedIn,
            headers(("set-cookie" = String, description = "The same tokens for a browser.")),
        ),
    ),
    extensions(("x-problems" = json!(["CROSS_SITE", "INVALID_REFRESH_TOKEN"]))),
)]
pub(crate) async fn handle(
    visitor: Visitor,
    RefreshCookie(cookie): RefreshCookie,
    OptionalBody(body): OptionalBody<Token>,
) -> Result<Response, Problem> {
    let app = &visitor.app;
    let sent = body.and_then(|body| body.refresh_token);
    let by_cookie = sent.is_none();
    let token = match (sent, cookie) {
        (Some(token), _) => token,
        (None, Some(cookie)) => cookie?,
        (None, None) => return Err(Problem::field("refreshToken", "is required")),
    };
    let mut conn = visitor.conn().await?;
    let rotated = sessions::rotate(&mut conn, &token, &app.clock, &app.entropy).await;
    let (user, session) = match rotated {
        Ok(rotated) => rotated,
        Err(SessionError::Db(error)) => return Err(error.into()),
        Err(refused) => {
            conn.release();
            let problem = Problem::new(ErrorKind::Unauthenticated, "INVALID_REFRESH_TOKEN");
            let mut response = problem.caused_by(refused).into_response();
            if by_cookie {
                // The browser would only send it again.
                cookies::clear(response.headers_mut(), &app.config);
            }
            return Ok(response);
        }
    };
    conn.release();
    signed_in(&visitor, user, session)
}
