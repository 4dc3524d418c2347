//! `POST /setup/tenants/{tenant}/suspend`

use axum::extract::State;
use axum::response::Response;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::Reason;
use utoipa::ToSchema;

use super::turned;
use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{Accepted, RespondAsync};

/// Why a tenant is suspended.
#[derive(ToSchema)]
#[schema(examples(json!({ "reason": "The invoice of March is not paid." })))]
pub(crate) struct Suspension {
    /// The tenant's people read it.
    #[schema(value_type = words::Reason)]
    reason: Reason,
}

impl FromFields for Suspension {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let reason = fields.required("reason", Reason::parse)?;
        Some(Self { reason })
    }
}

/// Suspends a tenant: when this answers, nothing of it is served. Requests that were under way, streams
/// and held connections are over on every router, and Postgres lets no login of the product's in. Its people
/// read `TENANT_SUSPENDED` with the reason. Its data stays, and migrations go on.
///
/// Suspending a suspended tenant records the new reason and changes nothing else.
#[utoipa::path(
    post, path = "/setup/tenants/{tenant}/suspend", tag = "tenants", operation_id = "suspendTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    request_body = Suspension,
    responses(
        (status = 200, description = "The tenant, of which nothing is served.", body = View),
        (
            status = 202,
            description = "It takes longer than a request may, and goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "NO_CLUSTER", "OPERATION_IN_PROGRESS", "OPERATION_PARKED",
        "ROUTERS_BEHIND", "TENANT_NOT_FOUND", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    Path(tenant): Path<TenantRef>,
    Body(suspension): Body<Suspension>,
) -> Result<Response, Problem> {
    let turned = app
        .lifecycle
        .suspend(&tenant, &suspension.reason, operator.asker())
        .await?;
    turned::answer(&app, turned, prefer).await
}
