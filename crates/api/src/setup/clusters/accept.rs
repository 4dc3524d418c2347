//! `POST /setup/clusters/{cluster}/accept`

use axum::Json;
use axum::extract::State;

use super::View;
use crate::app::App;
use crate::context::{ClusterRef, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// Puts new tenants on a cluster again, after a look that its server answers. Doing it twice changes nothing.
#[utoipa::path(
    post, path = "/setup/clusters/{cluster}/accept", tag = "clusters", operation_id = "acceptCluster",
    params(("cluster" = words::ClusterRef, Path, description = "A cluster's id or name.")),
    responses((status = 200, description = "The cluster, open.", body = View)),
    extensions(("x-problems" = json!(["CLUSTER_NOT_FOUND", "CLUSTER_REFUSED", "CLUSTER_UNAVAILABLE", "CLUSTER_UNSUITABLE"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(cluster): Path<ClusterRef>,
) -> Result<Json<View>, Problem> {
    let id = super::find(&app, &cluster).await?.id;
    let cluster = app
        .lifecycle
        .accept_on_cluster(id, &operator.asker())
        .await?;
    Ok(Json(View::one(&app, cluster).await?))
}
