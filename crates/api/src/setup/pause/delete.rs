//! `DELETE /setup/pause`

use axum::Json;
use axum::extract::State;

use super::view::View;
use crate::app::App;
use crate::context::Operator;
use crate::problem::Problem;
use crate::rights::Operate;

/// Lets background work go on: each operation from the step that is next, and all that has become due
/// meanwhile. Answers when every process has heard of it. Where there is no pause, nothing changes.
#[utoipa::path(
    delete, path = "/setup/pause", tag = "operations", operation_id = "resumeBackgroundWork",
    responses((status = 200, description = "It goes on.", body = View)),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
) -> Result<Json<View>, Problem> {
    Ok(Json(app.lifecycle.unpause(&operator.asker()).await?.into()))
}
