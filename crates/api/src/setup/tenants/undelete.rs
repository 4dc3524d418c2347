//! `POST /setup/tenants/{tenant}/undelete`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tenantry_catalog::tenants::{self, TenantRef};

use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::problem::Problem;
use crate::setup::progress::{self, Outcome};

/// Brings a deleted tenant back as it was and answers with it.
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
) -> Result<Response, Problem> {
    let started = app.lifecycle.undelete(&tenant, operator.asker()).await?;
    match progress::outcome(&app, started.operation_id).await? {
        Outcome::StillRunning => Ok(progress::accepted(started.operation_id, started.tenant_id)),
        Outcome::Done => {
            let mut conn = app.catalog().await?;
            let tenant = tenants::by_ref(&mut conn, &tenant)
                .await?
                .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
            Ok(Json(View::new(tenant, &app.config)).into_response())
        }
    }
}
