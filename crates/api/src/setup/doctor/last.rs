//! `GET /setup/doctor`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::doctor_runs;

use super::view::View;
use crate::app::App;
use crate::context::Operator;
use crate::problem::Problem;
use crate::rights::Read;

/// The newest run of the doctor, which may be on its way.
#[utoipa::path(
    get, path = "/setup/doctor", tag = "operations", operation_id = "getLastDoctorRun",
    responses((status = 200, description = "The run.", body = View)),
    extensions(("x-problems" = json!(["DOCTOR_RUN_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
) -> Result<Json<View>, Problem> {
    let mut conn = app.catalog().await?;
    let run = doctor_runs::newest(&mut conn)
        .await?
        .ok_or_else(|| Problem::not_found("DOCTOR_RUN_NOT_FOUND"))?;
    Ok(Json(View::new(run)))
}
