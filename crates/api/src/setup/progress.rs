//! Waiting for an operation, and what is said when it goes on without us.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderName, StatusCode};
use serde::Serialize;
use tenantry_catalog::operations::Status;
use tenantry_lifecycle::{Finished, WaitError};
use tenantry_types::{ErrorKind, OperationId, TenantId};
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::words;
use crate::problem::Problem;

/// How an operation stands when we have to answer.
pub(crate) enum Outcome {
    Done,
    StillRunning,
}

/// Waits as long as a request may take.
///
/// # Errors
/// The problem that the operation ended with.
pub(crate) async fn outcome(app: &App, operation: OperationId) -> Result<Outcome, Problem> {
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
        Err(WaitError::StillRunning) => Ok(Outcome::StillRunning),
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

/// The header that says that `Prefer: respond-async` was honoured (RFC 7240, 3).
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
