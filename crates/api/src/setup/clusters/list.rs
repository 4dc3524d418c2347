//! `GET /setup/clusters`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_catalog::clusters;
use tenantry_types::{ClusterId, Timestamp};

use crate::app::App;
use crate::context::{Items, Operator};
use crate::problem::Problem;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    cluster_id: ClusterId,
    name: String,
    host: String,
    port: u16,
    connection_budget: u32,
    created_at: Timestamp,
}

/// All clusters; there are few. Their admin logins stay with us.
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
