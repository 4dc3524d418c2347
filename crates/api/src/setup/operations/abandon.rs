//! `POST /setup/operations/{operation}/abandon`

use axum::Json;
use axum::extract::State;
use tenantry_types::OperationId;

use super::reason::RequiredReason;
use super::show::{self, View};
use crate::app::App;
use crate::context::{Operator, Path};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// Gives up a parked operation, for a reason: it ends as failed with `OPERATION_ABANDONED`, and what it left
/// half-way stays. Its tenant can be changed again; as a rule it is deleted.
#[utoipa::path(
    post, path = "/setup/operations/{operation}/abandon", tag = "operations", operation_id = "abandonOperation",
    params(("operation" = words::OperationId, Path, description = "The operation's id.")),
    request_body = RequiredReason,
    responses((status = 200, description = "The operation, which has ended.", body = View)),
    extensions(("x-problems" = json!(["OPERATION_ENDED", "OPERATION_NOT_FOUND", "WRONG_STATE"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(id): Path<OperationId>,
    Body(body): Body<RequiredReason>,
) -> Result<Json<View>, Problem> {
    app.lifecycle
        .abandon(id, &body.reason, &operator.asker())
        .await?;
    Ok(Json(show::view(&app, id, show::Secrets::Kept).await?))
}
