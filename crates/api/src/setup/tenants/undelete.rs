//! `POST /setup/tenants/{tenant}/undelete`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tenantry_catalog::tenants::{self, TenantRef};

use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};

/// Brings a deleted tenant back as it was and answers with it.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/undelete", tag = "tenants", operation_id = "undeleteTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses(
        (status = 200, description = "The tenant, which is served again.", body = View),
        (
            status = 202,
            description = "It takes longer than a request may, and goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "DATABASE_UNAVAILABLE", "LOGIN_REFUSED", "OPERATION_IN_PROGRESS",
        "OPERATION_PARKED", "TENANT_NOT_FOUND", "WRONG_DATABASE", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    Path(tenant): Path<TenantRef>,
) -> Result<Response, Problem> {
    let started = app.lifecycle.undelete(&tenant, operator.asker()).await?;
    match progress::outcome(&app, started.operation_id, started.tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => {
            let mut conn = app.catalog().await?;
            let tenant = tenants::by_ref(&mut conn, &tenant)
                .await?
                .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
            Ok(Json(View::new(tenant, &app.config)).into_response())
        }
    }
}
