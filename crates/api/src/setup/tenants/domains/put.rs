//! `PUT /setup/tenants/{tenant}/domains/{domain}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tenantry_catalog::tenants::TenantRef;
use utoipa::ToSchema;

use super::View;
use crate::app::App;
use crate::context::{Domain, Operator, Path};
use crate::fields::{Fields, FromFields};
use crate::json::OptionalBody;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// How a tenant wants a domain.
#[derive(ToSchema)]
#[schema(as = WantedDomain, examples(json!({ "primary": true })))]
pub(crate) struct Wanted {
    /// Whether the tenant's `url` is to show it, once it is verified; `false` gives that back to the
    /// subdomain. Without it nothing of that changes.
    #[schema(required = false, nullable = false)]
    primary: Option<bool>,
}

impl FromFields for Wanted {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            primary: fields.flag("primary"),
        })
    }
}

/// Gives a tenant a domain of its own and answers with the DNS record that proves it. The domain is
/// served only after that was found: by `verify`, or by ourselves, who look for it more and more seldom
/// for 30 days. The same again answers the same.
#[utoipa::path(
    put, path = "/setup/tenants/{tenant}/domains/{domain}", tag = "tenants", operation_id = "putDomain",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        ("domain" = words::DomainName, Path, description = "The domain; an international one may be encoded or not."),
    ),
    request_body = Option<Wanted>,
    responses(
        (status = 200, description = "The tenant had it already.", body = View),
        (status = 201, description = "The tenant has it now; it waits for its record.", body = View),
    ),
    extensions(("x-problems" = json!(["DOMAIN_TAKEN", "TENANT_NOT_FOUND", "WRONG_STATE"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path((tenant, domain)): Path<(TenantRef, Domain)>,
    OptionalBody(wanted): OptionalBody<Wanted>,
) -> Result<Response, Problem> {
    let domain = domain.custom(&app)?;
    let primary = wanted.and_then(|wanted| wanted.primary);
    let (claim, new) = app
        .lifecycle
        .claim_domain(&tenant, &domain, primary, &operator.asker())
        .await?;
    let status = match new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(View::of_claim(claim, &app.config))).into_response())
}
