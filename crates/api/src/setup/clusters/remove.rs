//! `DELETE /setup/clusters/{cluster}`, by id or name.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_types::ClusterId;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{ClusterRef, Operator, Path, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

pub(crate) struct How {
    abandon: bool,
}

impl FromFields for How {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let abandon = fields.optional("abandon", |text| match text {
            "true" | "1" | "" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("must be `true` or `false`"),
        });
        Some(Self {
            abandon: abandon.unwrap_or(false),
        })
    }
}

/// A cluster that was removed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RemovedCluster)]
pub(crate) struct Removed {
    #[schema(value_type = words::ClusterId)]
    cluster_id: ClusterId,
    #[schema(value_type = words::ClusterName)]
    name: String,
    /// What of ours is left on its server, for you to drop: `database …`, `role …`.
    #[schema(example = json!([]))]
    left: Vec<String>,
}

/// Removes a cluster that is drained and holds nothing of a tenant: drops the template and the groups that were
/// made there, and forgets it. 409 `CLUSTER_IN_USE` says what is there: tenants, also deleted ones that are not
/// purged yet, databases that wait for one, operations that have not ended.
///
/// A server that does not answer is 503, or forgotten as it is with `?abandon=true`.
#[utoipa::path(
    delete, path = "/setup/clusters/{cluster}", tag = "clusters", operation_id = "removeCluster",
    params(
        ("cluster" = words::ClusterRef, Path, description = "A cluster's id or name."),
        ("abandon" = Option<words::Flag>, Query, description = "Forget a server that does not answer, with what is left there."),
    ),
    responses((status = 200, description = "It is removed.", body = Removed)),
    extensions(("x-problems" = json!([
        "CLUSTER_IN_USE", "CLUSTER_NOT_FOUND", "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_UNAVAILABLE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(cluster): Path<ClusterRef>,
    Query(how): Query<How>,
) -> Result<Json<Removed>, Problem> {
    let id = super::find(&app, &cluster).await?.id;
    let removed = app
        .lifecycle
        .remove_cluster(id, how.abandon, &operator.asker())
        .await?;
    Ok(Json(Removed {
        cluster_id: id,
        name: removed.cluster.name,
        left: removed.left,
    }))
}
