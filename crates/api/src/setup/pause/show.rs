//! `GET /setup/pause`

use axum::Json;
use axum::extract::State;

use super::view::View;
use crate::app::App;
use crate::context::Operator;
use crate::problem::Problem;
use crate::rights::Read;

/// Whether background work is paused, by whom and why, and what each process is in the middle of.
#[utoipa::path(
    get, path = "/setup/pause", tag = "operations", operation_id = "getPause",
    responses((status = 200, description = "How it stands.", body = View)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
) -> Result<Json<View>, Problem> {
    Ok(Json(app.lifecycle.paused().await?.into()))
}
