//! `GET /setup/clusters`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_catalog::clusters;
use tenantry_types::{ClusterId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::{Items, Operator};
use crate::openapi::words;
use crate::problem::Problem;

/// A Postgres server that holds tenants' databases.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
pub(crate) struct View {
    #[schema(value_type = words::ClusterId)]
    cluster_id: ClusterId,
    #[schema(value_type = words::ClusterName)]
    name: String,
    #[schema(value_type = words::HostName)]
    host: String,
    #[schema(value_type = words::Port)]
    port: u16,
    /// How many connections may be open there, over all tenants and routers.
    #[schema(example = 100)]
    connection_budget: u32,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
}

/// All clusters; there are few. Their admin logins stay with us.
#[utoipa::path(
    get, path = "/setup/clusters", tag = "clusters", operation_id = "listClusters",
    responses((status = 200, description = "All clusters, on one page.", body = Items<View>)),
)]
pub(crate) async fn handle(
    _: Operator,
    State(app): State<App>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let clusters = clusters::list(&mut conn).await?;
    Ok(Json(Items::whole(clusters.into_iter().map(|cluster| {
        View {
            cluster_id: cluster.id,
            name: cluster.name,
            host: cluster.host,
            port: cluster.port,
            connection_budget: cluster.connection_budget,
            created_at: cluster.created_at,
        }
    }))))
}
