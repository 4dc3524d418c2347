//! `POST /setup/tenants/{tenant}/disconnect`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::TenantId;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// The connections are closed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DisconnectedTenant)]
pub(crate) struct Disconnected {
    success: bool,
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    /// The number of the change that the routers have acknowledged.
    change: i64,
    /// How many live routers have: all there are.
    routers: usize,
}

/// Closes the tenant's connections on every router; the next request connects anew. Answers when each
/// live router has acknowledged it: idle connections are gone then, those in use came back, or were
/// ended after `router.drain_deadline`.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/disconnect", tag = "tenants", operation_id = "disconnectTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses((status = 200, description = "They are closed.", body = Disconnected)),
    extensions(("x-problems" = json!(["ROUTERS_BEHIND", "TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Json<Disconnected>, Problem> {
    let done = app.lifecycle.disconnect(&tenant, operator.asker()).await?;
    Ok(Json(Disconnected {
        success: true,
        tenant_id: done.tenant_id,
        change: done.change,
        routers: done.routers,
    }))
}
