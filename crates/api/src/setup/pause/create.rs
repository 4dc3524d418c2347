//! `POST /setup/pause`

use axum::Json;
use axum::extract::State;
use tenantry_types::Reason;
use utoipa::ToSchema;

use super::view::View;
use crate::app::App;
use crate::context::Operator;
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// Why background work is paused.
#[derive(ToSchema)]
#[schema(as = NewPause, examples(json!({ "reason": "A cluster is being restored." })))]
pub(crate) struct NewPause {
    /// Whoever is refused meanwhile reads it.
    #[schema(value_type = words::Reason)]
    reason: Reason,
}

impl FromFields for NewPause {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let reason = fields.required("reason", Reason::parse)?;
        Some(Self { reason })
    }
}

/// Pauses all background work in every process: no operation begins or takes its next step, nothing is done
/// that is due. What is in a step ends it first; this waits for that, for some seconds, and `everywhere` says
/// whether it is over. Tenants are served as before. What stops harm goes on: suspending a tenant, ending its
/// connections, revoking operators; and people get temporary logins to look and to repair. Whatever would begin another operation is answered
/// with `PAUSED`.
///
/// Pausing what is paused changes nothing: the first pause stays, with its reason.
#[utoipa::path(
    post, path = "/setup/pause", tag = "operations", operation_id = "pauseBackgroundWork",
    request_body = NewPause,
    responses((status = 200, description = "It is paused, and how far that has come.", body = View)),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Body(new): Body<NewPause>,
) -> Result<Json<View>, Problem> {
    let now = app.lifecycle.pause(&new.reason, &operator.asker()).await?;
    Ok(Json(now.into()))
}
