//! `POST /setup/tenants/{tenant}/rotate-credentials`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{OperationId, TenantId};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};

/// The router's login is another one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RotatedTenant)]
struct Rotated {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::TenantId)]
    tenant_id: Option<TenantId>,
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
}

/// Replaces the login that routers use for the tenant, with no request noticing. Answers when every
/// live router uses the new one and the old one lets nobody in; requests that hold a connection of it
/// end first, each in its own time up to `rotation.wait`. The product's own login is not touched: see
/// `POST /setup/tenants/{tenant}/credentials`.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/rotate-credentials", tag = "tenants",
    operation_id = "rotateTenantCredentials",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses(
        (status = 200, description = "The old login lets nobody in any more.", body = Rotated),
        (
            status = 202,
            description = "It takes longer than a request may, and goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "DATABASE_UNAVAILABLE", "LOGIN_REFUSED", "NO_CLUSTER",
        "OPERATION_IN_PROGRESS", "OPERATION_PARKED", "TENANT_NOT_FOUND", "WRONG_DATABASE", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    Path(tenant): Path<TenantRef>,
) -> Result<Response, Problem> {
    let started = app.lifecycle.rotate(&tenant, operator.asker()).await?;
    let (operation_id, tenant_id) = (started.operation_id, started.tenant_id);
    match progress::outcome(&app, operation_id, tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => Ok(Json(Rotated {
            success: true,
            tenant_id,
            operation_id,
        })
        .into_response()),
    }
}
