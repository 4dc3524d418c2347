//! `POST /setup/tenants/{tenant}/rename`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::Slug;
use utoipa::ToSchema;

use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// A year.
const LONGEST: u64 = 365 * 24 * 3600;

/// Another slug for a tenant.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", examples(json!({ "slug": "globex" }), json!({ "slug": "globex", "redirectFor": 86400 })))]
pub(crate) struct Renaming {
    #[schema(value_type = words::Slug)]
    slug: Slug,
    /// For how many seconds the former subdomain redirects, and is kept for that; 0: it is free at once.
    /// By default as configured in `redirect_after_rename`.
    #[schema(minimum = 0, maximum = 31_536_000, nullable = false, required = false)]
    redirect_for: Option<u64>,
}

impl FromFields for Renaming {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let slug = fields.required("slug", Slug::parse);
        let redirect_for = fields.number("redirectFor", 0, LONGEST);
        Some(Self {
            slug: slug?,
            redirect_for,
        })
    }
}

/// Gives a tenant another slug, and its subdomain with it. When this answers, every router serves the
/// tenant at its new host, and the former one redirects there (308) for a time. Database and logins keep
/// their names, and access tokens stay good; people sign in anew at the new host.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/rename", tag = "tenants", operation_id = "renameTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    request_body = Renaming,
    responses((status = 200, description = "The tenant with its new slug.", body = View)),
    extensions(("x-problems" = json!([
        "OPERATION_IN_PROGRESS", "ROUTERS_BEHIND", "SLUG_TAKEN", "TENANT_NOT_FOUND", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    Body(renaming): Body<Renaming>,
) -> Result<Json<View>, Problem> {
    let redirect_for = renaming.redirect_for.map(Duration::from_secs);
    let renamed = app
        .lifecycle
        .rename(&tenant, &renaming.slug, redirect_for, &operator.asker())
        .await?;
    Ok(Json(View::new(renamed, &app.config)))
}
