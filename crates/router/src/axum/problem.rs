//! What a client reads when a request fails: RFC 9457 `application/problem+json`, in the shape and with
//! the codes of the control plane's own answers (`docs/errors`). The text of a cause never leaves.

use std::time::Duration;

use ::axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use ::axum::http::{HeaderMap, HeaderValue, StatusCode};
use ::axum::response::{IntoResponse, Response};
use tenantry_types::ErrorKind;

use super::Rejection;

/// What a handler can fail with, for `?`.
///
/// Of a failed statement the client reads 500 `INTERNAL`; what the database said is logged, and not
/// sent: it quotes names of tables and values of rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no connection.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A statement failed.
    #[error("a statement failed")]
    Query(#[from] sqlx::Error),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Rejected(rejection) => rejection.into_response(),
            Self::Query(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a statement failed"
                );
                answer(ErrorKind::Internal, "INTERNAL", None)
            }
        }
    }
}

/// The answer to a request that failed.
pub(super) fn answer(kind: ErrorKind, code: &'static str, wait: Option<Duration>) -> Response {
    let status = match kind {
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let (title, detail) = texts(code);
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, json);
    let mut retry = String::new();
    if let Some(wait) = wait {
        let seconds = wait.as_secs().max(1);
        headers.insert(RETRY_AFTER, seconds.into());
        retry = format!(r#","retryAfter":{seconds}"#);
    }
    let number = status.as_u16();
    // Words of ours only: nothing here needs escaping.
    let body = format!(
        r#"{{"type":"urn:tenantry:error:{code}","title":"{title}","status":{number},"detail":"{detail}","code":"{code}"{retry}}}"#
    );
    (status, headers, body).into_response()
}

/// What each code that a router can give is called, and what would help.
fn texts(code: &str) -> (&'static str, &'static str) {
    match code {
        "BAD_HOST" => (
            "Bad host",
            "The request must name one host, in one valid Host header.",
        ),
        "WRONG_TENANT" => (
            "Wrong tenant",
            "Two names in the request lead to different tenants.",
        ),
        "TENANT_NOT_FOUND" => ("Tenant not found", "No tenant is served at this host."),
        "TENANT_SUSPENDED" => ("Tenant suspended", "The tenant is suspended."),
        "TENANT_NOT_READY" => (
            "Tenant not ready",
            "The tenant is not ready yet. Try again shortly.",
        ),
        "CATALOG_UNAVAILABLE" => (
            "Catalog unavailable",
            "The catalog cannot be reached right now. Try again shortly.",
        ),
        "DATABASE_UNAVAILABLE" => (
            "Database unavailable",
            "The tenant's database cannot be reached right now. Try again shortly.",
        ),
        "TENANT_BUSY" => (
            "Tenant busy",
            "All connections of this tenant are in use. Try again shortly.",
        ),
        "POOL_EXHAUSTED" => (
            "Pool exhausted",
            "All connections to this database server are in use. Try again shortly.",
        ),
        _ => ("Internal", "Something went wrong on our side."),
    }
}
