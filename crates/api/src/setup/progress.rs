//! Waiting for an operation, and what is said when it goes on without us.

use std::convert::Infallible;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tenantry_catalog::operations::Status;
use tenantry_lifecycle::{Finished, WaitError};
use tenantry_types::{ErrorKind, OperationId, TenantId};
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::words;
use crate::problem::Problem;

/// Whether the client would rather not wait: `Prefer: respond-async` (RFC 7240, 4.1).
#[derive(Clone, Copy)]
pub(crate) struct RespondAsync(pub(crate) bool);

impl FromRequestParts<App> for RespondAsync {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(prefers_async(&parts.headers)))
    }
}

fn prefers_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next())
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

/// How an operation stands when we have to answer.
pub(crate) enum Outcome {
    Done,
    /// It goes on without us: the answer that says so.
    GoesOn(Response),
}

/// Waits as long as a request may take, and not at all where the client would rather not.
///
/// # Errors
/// The problem that the operation ended with.
pub(crate) async fn outcome(
    app: &App,
    operation: OperationId,
    tenant: Option<TenantId>,
    RespondAsync(respond_async): RespondAsync,
) -> Result<Outcome, Problem> {
    if respond_async {
        return Ok(Outcome::GoesOn(as_preferred(operation, tenant)));
    }
    match app
        .lifecycle
        .wait(operation, app.config.request_timeout)
        .await
    {
        Ok(Finished::Done) => Ok(Outcome::Done),
        Ok(Finished::Failed(failure)) => Err(Problem::from(failure).operation(operation)),
        Ok(Finished::Parked(_)) => {
            Err(Problem::new(ErrorKind::Internal, "OPERATION_PARKED").operation(operation))
        }
        Err(WaitError::StillRunning) => Ok(Outcome::GoesOn(accepted(operation, tenant))),
        Err(error) => Err(error.into()),
    }
}

/// A change that goes on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
    /// The tenant that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::TenantId, required = false)]
    tenant_id: Option<TenantId>,
    #[schema(value_type = words::OperationStatus)]
    status: Status,
}

/// 202: it goes on; this is where to ask.
pub(crate) fn accepted(operation: OperationId, tenant: Option<TenantId>) -> Response {
    let location = format!("/setup/operations/{operation}");
    let body = Accepted {
        operation_id: operation,
        tenant_id: tenant,
        status: Status::Running,
    };
    (StatusCode::ACCEPTED, [(LOCATION, location)], Json(body)).into_response()
}

/// The same, because the client would rather not wait.
pub(crate) fn as_preferred(operation: OperationId, tenant: Option<TenantId>) -> Response {
    let mut response = accepted(operation, tenant);
    let applied = HeaderValue::from_static("respond-async");
    response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    response
}

/// The header that says that `Prefer: respond-async` was honoured (RFC 7240, 3).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefer_is_a_list() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(value));
            prefers_async(&headers)
        };
        assert!(of("respond-async") && of("wait=10, Respond-Async") && of("respond-async; x=1"));
        assert!(!of("return=minimal") && !of("respond-asynchronously"));
    }
}
