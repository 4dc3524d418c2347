//! `POST /setup/clusters/{cluster}/drain`

use axum::Json;
use axum::extract::State;

use super::View;
use crate::app::App;
use crate::context::{ClusterRef, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// Puts no new tenants on a cluster any more. Those that are there are served as before; databases that wait for
/// a tenant are dropped in the background. A creation that begins after the answer goes elsewhere. Draining a
/// drained cluster changes nothing.
#[utoipa::path(
    post, path = "/setup/clusters/{cluster}/drain", tag = "clusters", operation_id = "drainCluster",
    params(("cluster" = words::ClusterRef, Path, description = "A cluster's id or name.")),
    responses((status = 200, description = "The cluster, drained.", body = View)),
    extensions(("x-problems" = json!(["CLUSTER_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(cluster): Path<ClusterRef>,
) -> Result<Json<View>, Problem> {
    let id = super::find(&app, &cluster).await?.id;
    let cluster = app.lifecycle.drain_cluster(id, &operator.asker()).await?;
    Ok(Json(View::one(&app, cluster).await?))
}
