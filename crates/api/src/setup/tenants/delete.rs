//! `DELETE /setup/tenants/{tenant}`, by id or slug.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::SubsecRound;
use serde::Serialize;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{OperationId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Operator, Path, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};

pub(crate) struct How {
    purge: bool,
}

impl FromFields for How {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let purge = fields.optional("purge", |text| match text {
            "true" | "1" | "" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("must be `true` or `false`"),
        });
        Some(Self {
            purge: purge.unwrap_or(false),
        })
    }
}

/// A deletion that is done: nobody reaches the tenant any more.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeletedTenant)]
pub(crate) struct Deleted {
    success: bool,
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    /// Until then the tenant can come back; absent where it is gone for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    purge_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::OperationId, required = false)]
    operation_id: Option<OperationId>,
}

/// Deletes a tenant: when this answers, nobody reaches it. Its data goes when the grace period ends,
/// with `?purge=true` at once. Deleting a deleted tenant changes nothing.
#[utoipa::path(
    delete, path = "/setup/tenants/{tenant}", tag = "tenants", operation_id = "deleteTenant",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        (
            "purge" = Option<words::Flag>,
            Query,
            description = "End it for good now, data included.",
        ),
    ),
    responses(
        (status = 200, description = "Nobody reaches the tenant any more.", body = Deleted),
        (
            status = 202,
            description = "It takes longer than a request may, and goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "OPERATION_IN_PROGRESS", "OPERATION_PARKED", "ROUTERS_BEHIND",
        "TENANT_NOT_FOUND", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    Path(tenant): Path<TenantRef>,
    Query(how): Query<How>,
) -> Result<Response, Problem> {
    let deletion = app
        .lifecycle
        .delete(&tenant, how.purge, operator.asker())
        .await?;
    if let Some(operation) = deletion.operation_id {
        match progress::outcome(&app, operation, Some(deletion.tenant_id), prefer).await? {
            Outcome::Done => {}
            Outcome::GoesOn(response) => return Ok(response),
        }
    }
    Ok(Json(Deleted {
        success: true,
        tenant_id: deletion.tenant_id,
        // The catalog keeps microseconds; a second deletion tells the same moment.
        purge_at: deletion.purge_at.map(|at| at.trunc_subsecs(6)),
        operation_id: deletion.operation_id,
    })
    .into_response())
}
