//! `GET /setup/doctor/{run}`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::doctor_runs;
use tenantry_types::DoctorRunId;

use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// One run of the doctor: how far it has come, and at its end what it found. The last hundred are kept.
#[utoipa::path(
    get, path = "/setup/doctor/{run}", tag = "operations", operation_id = "getDoctorRun",
    params(("run" = words::DoctorRunId, Path, description = "The run's id.")),
    responses((status = 200, description = "The run.", body = View)),
    extensions(("x-problems" = json!(["DOCTOR_RUN_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Path(id): Path<DoctorRunId>,
) -> Result<Json<View>, Problem> {
    let mut conn = app.catalog().await?;
    let run = doctor_runs::by_id(&mut conn, id)
        .await?
        .ok_or_else(|| Problem::not_found("DOCTOR_RUN_NOT_FOUND"))?;
    Ok(Json(View::new(run)))
}
