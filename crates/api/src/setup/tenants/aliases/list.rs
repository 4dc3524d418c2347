//! `GET /setup/tenants/{tenant}/aliases`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::aliases;
use tenantry_catalog::tenants::{self, TenantRef};

use super::View;
use crate::app::App;
use crate::context::{Items, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// All aliases of a tenant. Channel tokens are not told.
#[utoipa::path(
    get, path = "/setup/tenants/{tenant}/aliases", tag = "tenants", operation_id = "listAliases",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses((status = 200, description = "All of them, on one page.", body = Items<View>)),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let tenant = tenants::by_ref(&mut conn, &tenant)
        .await?
        .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
    let all = aliases::by_tenant(&mut conn, tenant.id).await?;
    let all = all.into_iter().map(|alias| View::new(alias, None));
    Ok(Json(Items::whole(all)))
}
