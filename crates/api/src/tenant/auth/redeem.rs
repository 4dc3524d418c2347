//! `POST /auth/redeem`

use axum::response::Response;
use sqlx::Connection;
use tenantry_tenantdb::sessions::Issued;
use tenantry_tenantdb::{TenantDbError, sign_in_codes};
use tenantry_types::{Secret, UserId};
use utoipa::ToSchema;

use super::{SignedIn, begin_session, signed_in};
use crate::context::{ClientAddress, Visitor};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::sign_in::{too_many, wrong_code};

/// What the base domain gave for this tenant.
#[derive(ToSchema)]
#[schema(as = SignInCode, examples(json!({ "code": "the one that POST /auth/login at the base domain gave" })))]
pub(crate) struct Code {
    #[schema(value_type = words::Secret)]
    pub(crate) code: Secret,
}

impl FromFields for Code {
    // Anyone may send one.
    const LARGEST: usize = 16 * 1024;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        fields.required_secret("code").map(|code| Self { code })
    }
}

/// Ends a sign-in that began at the base domain, with the answer that a sign-in here has.
#[utoipa::path(
    post, path = "/auth/redeem", tag = "sign-in", operation_id = "redeemCode",
    request_body = Code,
    responses(
        (
            status = 200,
            description = "Signed in; the code is used up.",
            body = SignedIn,
            headers(("set-cookie" = String, description = "The same tokens for a browser.")),
        ),
    ),
    extensions(("x-problems" = json!(["INVALID_CODE", "TOO_MANY_ATTEMPTS"]))),
)]
pub(crate) async fn handle(
    visitor: Visitor,
    client: ClientAddress,
    Body(Code { code }): Body<Code>,
) -> Result<Response, Problem> {
    let (user, session) = begin(&visitor, &client, &code).await?;
    signed_in(&visitor, user, session)
}

/// Uses a code up and begins the session of the person it was given to: both or neither.
///
/// # Errors
/// 401 `INVALID_CODE`, whatever is wrong with the code or its person; 429 `TOO_MANY_ATTEMPTS`; and
/// what can be wrong with the tenant.
pub(crate) async fn begin(
    visitor: &Visitor,
    client: &ClientAddress,
    code: &Secret,
) -> Result<(UserId, Issued), Problem> {
    // 256 random bits are not guessed; who tries all the same is not to keep the database busy.
    let attempt = visitor
        .app
        .throttle
        .attempt_from(client.0)
        .await
        .map_err(too_many)?;
    let mut conn = visitor.conn().await?;
    let mut tx = conn.begin().await.map_err(TenantDbError::from)?;
    let user = sign_in_codes::redeem(&mut tx, code, &visitor.app.clock).await?;
    let session = match user {
        Some(user) => begin_session(visitor, &mut tx, user).await?,
        None => None,
    };
    tx.commit().await.map_err(TenantDbError::from)?;
    conn.release();
    match user.zip(session) {
        Some(signed_in) => {
            attempt.succeeded();
            Ok(signed_in)
        }
        None => {
            attempt.failed();
            Err(wrong_code())
        }
    }
}
