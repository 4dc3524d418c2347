//! `POST /setup/rotations`

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::Operator;
use crate::duration;
use crate::fields::{Fields, FromFields};
use crate::json::OptionalBody;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted};

/// The longest time that a run may be spread over.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How all tenants are rotated.
#[derive(ToSchema)]
#[schema(as = NewRotation, examples(json!({ "jitter": "10m" })))]
pub(crate) struct NewRotation {
    /// Over how long the tenants are spread, each at a moment of its own; at most 30 days. By default
    /// they follow one another at once.
    #[schema(value_type = words::Duration, required = false)]
    jitter: Duration,
}

impl FromFields for NewRotation {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let jitter = fields.optional("jitter", |text| duration::parse(text, LONGEST));
        Some(Self {
            jitter: jitter.unwrap_or_default(),
        })
    }
}

/// Begins to rotate the router login of every active tenant, a few at a time; the operation shows a
/// result per tenant. One that fails stops no other. Never waited for: a fleet takes longer than a request.
#[utoipa::path(
    post, path = "/setup/rotations", tag = "operations", operation_id = "createRotation",
    request_body = Option<NewRotation>,
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
    OptionalBody(wanted): OptionalBody<NewRotation>,
) -> Result<Response, Problem> {
    let jitter = wanted.map(|wanted| wanted.jitter).unwrap_or_default();
    let started = app.lifecycle.rotate_all(jitter, operator.asker()).await?;
    Ok(progress::accepted(started.operation_id, None))
}
