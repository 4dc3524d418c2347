//! `GET /setup/tenants/{tenant}`, by id or slug.

use axum::Json;
use axum::extract::State;
use tenantry_catalog::tenants::{self, TenantRef};

use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::ReadCreated;

/// One tenant, in whatever state it is.
#[utoipa::path(
    get, path = "/setup/tenants/{tenant}", tag = "tenants", operation_id = "getTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses((status = 200, description = "The tenant.", body = View)),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<ReadCreated>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Json<View>, Problem> {
    let mut conn = app.catalog().await?;
    let tenant = tenants::by_ref(&mut conn, &tenant)
        .await?
        .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
    if !operator.sees_tenant(&mut conn, tenant.id).await? {
        return Err(Problem::not_found("TENANT_NOT_FOUND"));
    }
    Ok(Json(View::new(tenant, &app.config)))
}
