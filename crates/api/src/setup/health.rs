//! `GET /setup/health`: whether all is as it should be, as the doctor last saw it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_catalog::doctor_runs::{self, Run, Status};
use tenantry_types::{DoctorRunId, Timestamp};
use utoipa::ToSchema;

use super::doctor::view::Counts;
use crate::app::App;
use crate::context::Operator;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// Whether all is as it should be.
#[derive(Serialize, ToSchema)]
#[schema(as = InstallationHealth)]
pub(crate) struct View {
    /// `healthy`; `differences`: the doctor found some; `failed`: it could not look; `unknown`: it has not
    /// looked yet.
    #[schema(example = "healthy")]
    status: &'static str,
    /// Its last look at the whole installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    doctor: Option<Look>,
}

/// The last look.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LastLook)]
struct Look {
    #[schema(value_type = words::DoctorRunId)]
    run_id: DoctorRunId,
    asked_by: String,
    /// The process that carried it.
    replica: String,
    #[schema(value_type = words::Timestamp)]
    started_at: Timestamp,
    took_ms: i64,
    /// How many findings there are, where it could look.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    counts: Option<Counts>,
}

/// Whether all is as it should be, as the doctor saw it when it last looked at the whole installation: by
/// itself every `doctor_every`, or because somebody asked. What it found is at the run.
#[utoipa::path(
    get, path = "/setup/health", tag = "operations", operation_id = "getHealth",
    responses((status = 200, description = "What it last saw.", body = View)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
) -> Result<Json<View>, Problem> {
    let mut conn = app.catalog().await?;
    let last = doctor_runs::last(&mut conn).await?;
    Ok(Json(view(last)))
}

fn view(last: Option<Run>) -> View {
    let Some(run) = last else {
        return View {
            status: "unknown",
            doctor: None,
        };
    };
    let counts = run.report.as_ref().and_then(|report| report.get("counts"));
    let counts: Option<Counts> =
        counts.and_then(|counts| serde_json::from_value(counts.clone()).ok());
    let status = match (run.status, &counts) {
        (Status::Done, Some(counts)) if counts.errors + counts.warnings == 0 => "healthy",
        (Status::Done, Some(_)) => "differences",
        _ => "failed",
    };
    let ended = run.finished_at.unwrap_or(run.started_at);
    View {
        status,
        doctor: Some(Look {
            run_id: run.id,
            asked_by: run.asked_by,
            replica: run.replica,
            started_at: run.started_at,
            took_ms: (ended - run.started_at).num_milliseconds(),
            counts,
        }),
    }
}
