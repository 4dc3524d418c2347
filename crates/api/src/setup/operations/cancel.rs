//! `POST /setup/operations/{operation}/cancel`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tenantry_lifecycle::{Finished, WaitError};
use tenantry_types::{ErrorKind, OperationId};

use super::reason::OptionalReason;
use super::show::{self, View};
use crate::app::App;
use crate::context::{Operator, Path};
use crate::json::OptionalBody;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, RespondAsync};

/// Ends an operation short of its goal: it turns back at its next step's border, and what it has done is
/// undone. Answers when it is. A creation can be cancelled until it is done; what was promised, a
/// deletion for instance, has no way back.
#[utoipa::path(
    post, path = "/setup/operations/{operation}/cancel", tag = "operations", operation_id = "cancelOperation",
    params(("operation" = words::OperationId, Path, description = "The operation's id.")),
    request_body = Option<OptionalReason>,
    responses(
        (status = 200, description = "It has failed with `OPERATION_CANCELLED`, and nothing of it is left.", body = View),
        (
            status = 202,
            description = "It turns back, which takes longer than a request may; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "OPERATION_ENDED", "OPERATION_NOT_CANCELLABLE", "OPERATION_NOT_FOUND", "OPERATION_PARKED"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(id): Path<OperationId>,
    RespondAsync(respond_async): RespondAsync,
    OptionalBody(body): OptionalBody<OptionalReason>,
) -> Result<Response, Problem> {
    let reason = body.and_then(|body| body.reason);
    app.lifecycle
        .cancel(id, reason.as_ref(), &operator.asker())
        .await?;
    if respond_async {
        return Ok(progress::as_preferred(id, None));
    }
    match app.lifecycle.wait(id, app.config.request_timeout).await {
        Ok(Finished::Failed(_)) => {
            let view = show::view(&app, id, show::Secrets::Kept).await?;
            Ok(Json(view).into_response())
        }
        Ok(Finished::Done) => Err(Problem::new(ErrorKind::Conflict, "OPERATION_ENDED")
            .operation(id)
            .detail("The operation reached its goal before it could turn back.")),
        Ok(Finished::Parked(_)) => {
            Err(Problem::new(ErrorKind::Internal, "OPERATION_PARKED").operation(id))
        }
        Err(WaitError::StillRunning) => Ok(progress::accepted(id, None)),
        Err(error) => Err(error.into()),
    }
}
