//! `DELETE /setup/tenants/{tenant}`, by id or slug.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::SubsecRound;
use serde::Serialize;
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::{OperationId, TenantId, Timestamp};

use crate::app::App;
use crate::context::{Operator, Path, Query};
use crate::fields::{Fields, FromFields};
use crate::problem::Problem;
use crate::setup::progress::{self, Outcome};

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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    success: bool,
    tenant_id: TenantId,
    /// Until then the tenant can come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    purge_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<OperationId>,
}

/// Deletes a tenant: when this answers, nobody reaches it. Its data goes when the grace period ends,
/// with `?purge=true` at once. Deleting a deleted tenant changes nothing.
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    Query(how): Query<How>,
) -> Result<Response, Problem> {
    let deletion = app
        .lifecycle
        .delete(&tenant, how.purge, operator.asker())
        .await?;
    if let Some(operation) = deletion.operation_id {
        match progress::outcome(&app, operation).await? {
            Outcome::Done => {}
            Outcome::StillRunning => {
                return Ok(progress::accepted(operation, Some(deletion.tenant_id)));
            }
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
