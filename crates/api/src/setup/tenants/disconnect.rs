//! `POST /setup/tenants/{tenant}/disconnect`

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tenantry_catalog::tenants::TenantRef;

use crate::app::App;
use crate::context::{Operator, Path};
use crate::problem::Problem;

/// Closes the tenant's connections on every router; the next request connects anew.
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Json<Value>, Problem> {
    let tenant_id = app.lifecycle.disconnect(&tenant, operator.asker()).await?;
    Ok(Json(json!({ "success": true, "tenantId": tenant_id })))
}
