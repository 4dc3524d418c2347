//! `DELETE /setup/tenants/{tenant}/domains/{domain}`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::tenants::TenantRef;

use super::View;
use crate::app::App;
use crate::context::{Domain, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// Takes a domain from a tenant: when this answers it leads nowhere, and another tenant can prove it. A
/// tenant's subdomain stays with it; it is the primary domain again, where this one was.
#[utoipa::path(
    delete, path = "/setup/tenants/{tenant}/domains/{domain}", tag = "tenants", operation_id = "deleteDomain",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        ("domain" = words::DomainName, Path, description = "The domain."),
    ),
    responses((status = 200, description = "The domain as it was.", body = View)),
    extensions(("x-problems" = json!(["DOMAIN_NOT_FOUND", "ROUTERS_BEHIND", "TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path((tenant, domain)): Path<(TenantRef, Domain)>,
) -> Result<Json<View>, Problem> {
    let domain = domain.known()?;
    let claim = app
        .lifecycle
        .remove_domain(&tenant, &domain, &operator.asker())
        .await?;
    Ok(Json(View::of_claim(claim, &app.config)))
}
