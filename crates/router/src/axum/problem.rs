//! What a client reads when a request fails: RFC 9457 `application/problem+json`, in the shape and with
//! the codes of the control plane's own answers (`docs/errors`). The text of a cause never leaves.

use std::time::Duration;

use ::axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
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

/// The answer at a former host of a tenant: the same request, at the present one. A browser is not to
/// remember it: the slug may be somebody else's later.
pub(super) fn moved(location: HeaderValue) -> Response {
    let mut answer = with(StatusCode::PERMANENT_REDIRECT, "TENANT_MOVED", None, None);
    let headers = answer.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The answer of a suspended tenant, with the reason that is meant for its people.
pub(super) fn suspended(reason: &str) -> Response {
    let detail = format!("The tenant is suspended: {reason}");
    with(
        StatusCode::FORBIDDEN,
        "TENANT_SUSPENDED",
        Some(&detail),
        None,
    )
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
    with(status, code, None, wait)
}

fn with(
    status: StatusCode,
    code: &'static str,
    told: Option<&str>,
    wait: Option<Duration>,
) -> Response {
    let (title, known) = texts(code);
    let detail = told.map_or_else(|| known.to_owned(), escaped);
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
    // Words of ours only, but for the detail, which is escaped.
    let body = format!(
        r#"{{"type":"urn:tenantry:error:{code}","title":"{title}","status":{number},"detail":"{detail}","code":"{code}"{retry}}}"#
    );
    (status, headers, body).into_response()
}

/// As the inside of a JSON string (RFC 8259, 7).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
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
        "TENANT_MOVED" => (
            "Tenant moved",
            "The tenant has another host now; send the same request there.",
        ),
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
