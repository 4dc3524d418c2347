//! What is answered of a tenant that was suspended or resumed.

use axum::Json;
use axum::response::{IntoResponse, Response};
use tenantry_catalog::tenants;
use tenantry_lifecycle::Turned;

use super::view::View;
use crate::app::App;
use crate::problem::Problem;
use crate::setup::progress::{self, Outcome, RespondAsync};

/// The tenant when it is so, or the operation that goes on.
pub(super) async fn answer(
    app: &App,
    turned: Turned,
    prefer: RespondAsync,
) -> Result<Response, Problem> {
    if let Some(operation) = turned.operation_id {
        match progress::outcome(app, operation, Some(turned.tenant_id), prefer).await? {
            Outcome::Done => {}
            Outcome::GoesOn(response) => return Ok(response),
        }
    }
    let mut conn = app.catalog().await?;
    let tenant = tenants::by_id(&mut conn, turned.tenant_id)
        .await?
        .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
    Ok(Json(View::new(tenant, &app.config)).into_response())
}
