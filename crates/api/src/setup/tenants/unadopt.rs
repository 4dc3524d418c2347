//! `POST /setup/tenants/{tenant}/unadopt`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{OperationId, TenantId};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};

/// A database that was given back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnadoptedTenant)]
pub(crate) struct Unadopted {
    success: bool,
    #[schema(value_type = Option<words::TenantId>, required)]
    tenant_id: Option<TenantId>,
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
}

/// Gives a tenant's adopted database back as it was, with what was written since, and forgets the tenant. When this
/// answers, nothing of it is served, our logins and tables are gone, and who owned the database owns it again.
///
/// A tenant whose database we made has nobody to give it to.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/unadopt", tag = "tenants", operation_id = "unadoptTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    responses(
        (status = 200, description = "The database is its former owner's.", body = Unadopted),
        (
            status = 202,
            description = "It takes longer than a request may, and goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "ADOPTION_HELD", "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "NOT_ADOPTED", "NO_CLUSTER", "OPERATION_IN_PROGRESS", "OPERATION_PARKED", "ROUTERS_BEHIND",
        "TENANT_NOT_FOUND"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    Path(tenant): Path<TenantRef>,
) -> Result<Response, Problem> {
    let started = app.lifecycle.unadopt(&tenant, operator.asker()).await?;
    match progress::outcome(&app, started.operation_id, started.tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => Ok(Json(Unadopted {
            success: true,
            tenant_id: started.tenant_id,
            operation_id: started.operation_id,
        })
        .into_response()),
    }
}
