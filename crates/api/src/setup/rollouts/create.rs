//! `POST /setup/rollouts`

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::Operator;
use crate::fields::{Fields, FromFields};
use crate::json::OptionalBody;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted};

/// No settings yet: everything is brought to what this program has built in.
#[derive(ToSchema)]
#[schema(as = NewRollout, examples(json!({})))]
pub(crate) struct Rollout {}

impl FromFields for Rollout {
    fn from_fields(_: &mut Fields) -> Option<Self> {
        Some(Self {})
    }
}

/// Begins to migrate everything; the operation shows a result per tenant. Never waited for: a fleet
/// takes longer than a request.
#[utoipa::path(
    post, path = "/setup/rollouts", tag = "operations", operation_id = "createRollout",
    request_body = Option<Rollout>,
    responses(
        (
            status = 202,
            description = "It goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!(["OPERATION_IN_PROGRESS"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    _: OptionalBody<Rollout>,
) -> Result<Response, Problem> {
    let started = app.lifecycle.migrate_all(operator.asker()).await?;
    Ok(progress::accepted(started.operation_id, None))
}
