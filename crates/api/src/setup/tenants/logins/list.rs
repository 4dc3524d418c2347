//! `GET /setup/tenants/{tenant}/logins`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::tenants::TenantRef;

use super::View;
use crate::app::App;
use crate::context::{Items, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// The logins of people and tools that a tenant's database has now. Never their passwords.
#[utoipa::path(
    get, path = "/setup/tenants/{tenant}/logins", tag = "tenants", operation_id = "listLogins",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses((status = 200, description = "All of them, on one page.", body = Items<View>)),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Json<Items<View>>, Problem> {
    let all = app.lifecycle.logins(&tenant).await?;
    let all: Vec<_> = all.into_iter().map(View::from).collect();
    Ok(Json(Items::whole(all)))
}
