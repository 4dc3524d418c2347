//! `POST /setup/tenants/{tenant}/resume`

use axum::extract::State;
use axum::response::Response;
use tenantry_catalog::tenants::TenantRef;

use super::turned;
use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{Accepted, RespondAsync};

/// Ends a suspension: when this answers, every router serves the tenant again, and the product's login is
/// let in with the password that it had. Resuming an active tenant changes nothing.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/resume", tag = "tenants", operation_id = "resumeTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses(
        (status = 200, description = "The tenant, which is served.", body = View),
        (
            status = 202,
            description = "It takes longer than a request may, and goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "NO_CLUSTER", "OPERATION_IN_PROGRESS", "OPERATION_PARKED",
        "ROUTERS_BEHIND", "TENANT_NOT_FOUND", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    Path(tenant): Path<TenantRef>,
) -> Result<Response, Problem> {
    let turned = app.lifecycle.resume(&tenant, operator.asker()).await?;
    turned::answer(&app, turned, prefer).await
}
