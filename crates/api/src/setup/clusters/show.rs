//! `GET /setup/clusters/{cluster}`, by id or name.

use axum::Json;
use axum::extract::State;

use super::View;
use crate::app::App;
use crate::context::{ClusterRef, Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// One cluster, with what it holds.
#[utoipa::path(
    get, path = "/setup/clusters/{cluster}", tag = "clusters", operation_id = "showCluster",
    params(("cluster" = words::ClusterRef, Path, description = "A cluster's id or name.")),
    responses((status = 200, description = "The cluster.", body = View)),
    extensions(("x-problems" = json!(["CLUSTER_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Path(cluster): Path<ClusterRef>,
) -> Result<Json<View>, Problem> {
    let cluster = super::find(&app, &cluster).await?;
    Ok(Json(View::one(&app, cluster).await?))
}
