//! `GET /setup/tenants/{tenant}`, by id or slug.

use axum::Json;
use axum::extract::State;
use tenantry_catalog::tenants::{self, TenantRef};

use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::problem::Problem;

/// One tenant, in whatever state it is.
pub(crate) async fn handle(
    _: Operator,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Json<View>, Problem> {
    let mut conn = app.catalog().await?;
    let tenant = tenants::by_ref(&mut conn, &tenant)
        .await?
        .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
    Ok(Json(View::new(tenant, &app.config)))
}
