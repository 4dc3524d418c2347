//! `GET /setup/tenants/{tenant}/domains`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_catalog::{domain_claims, domains};

use super::View;
use crate::app::App;
use crate::context::{Items, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;

/// All host names of a tenant: its subdomains, then its own domains with how far each is proven.
#[utoipa::path(
    get, path = "/setup/tenants/{tenant}/domains", tag = "tenants", operation_id = "listDomains",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses((status = 200, description = "All of them, on one page.", body = Items<View>)),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let tenant = tenants::by_ref(&mut conn, &tenant)
        .await?
        .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
    let served = domains::by_tenant(&mut conn, tenant.id).await?;
    let claims = domain_claims::by_tenant(&mut conn, tenant.id).await?;
    let subdomains = served
        .into_iter()
        .filter(|domain| domain.kind == domains::Kind::Subdomain)
        .map(|domain| View::of_subdomain(domain, &app.config));
    let own = claims
        .into_iter()
        .map(|claim| View::of_claim(claim, &app.config));
    Ok(Json(Items::whole(subdomains.chain(own))))
}
