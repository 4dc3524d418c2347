//! `POST /setup/tenants/{tenant}/domains/{domain}/verify`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::domain_claims::Outcome;
use tenantry_catalog::tenants::TenantRef;
use tenantry_lifecycle::Record;
use tenantry_types::ErrorKind;

use super::View;
use crate::app::App;
use crate::context::{Domain, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// Looks for the record of a domain now. Where it is there, the domain is served when this answers.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/domains/{domain}/verify", tag = "tenants", operation_id = "verifyDomain",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        ("domain" = words::DomainName, Path, description = "The domain."),
    ),
    responses((status = 200, description = "It is proven, and served.", body = View)),
    extensions(("x-problems" = json!([
        "DNS_UNAVAILABLE", "DOMAIN_NOT_FOUND", "DOMAIN_NOT_VERIFIED", "DOMAIN_TAKEN",
        "ROUTERS_BEHIND", "TENANT_NOT_FOUND", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path((tenant, domain)): Path<(TenantRef, Domain)>,
) -> Result<Json<View>, Problem> {
    let domain = domain.known()?;
    let verified = app
        .lifecycle
        .verify_domain(&tenant, &domain, &operator.asker())
        .await?;
    let Record { name, value } = Record::of(&verified.claim);
    let not_verified =
        |detail| Problem::new(ErrorKind::Conflict, "DOMAIN_NOT_VERIFIED").detail(detail);
    match verified.outcome {
        Outcome::Proven => Ok(Json(View::of_claim(verified.claim, &app.config))),
        Outcome::Missing => Err(not_verified(format!(
            "There is no TXT record at {name}. Set one that holds {value}."
        ))),
        Outcome::Wrong => Err(not_verified(format!(
            "No TXT record at {name} holds {value}. Add one; others may stay."
        ))),
        Outcome::Taken => Err(Problem::new(ErrorKind::Conflict, "DOMAIN_TAKEN")),
        Outcome::Unanswered => Err(Problem::new(ErrorKind::Unavailable, "DNS_UNAVAILABLE")),
    }
}
