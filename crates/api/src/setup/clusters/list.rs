//! `GET /setup/clusters`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::clusters;

use super::View;
use crate::app::App;
use crate::context::{Items, Operator};
use crate::problem::Problem;
use crate::rights::Read;

/// All clusters; there are few. Their admin logins stay with us.
#[utoipa::path(
    get, path = "/setup/clusters", tag = "clusters", operation_id = "listClusters",
    responses((status = 200, description = "All clusters, on one page.", body = Items<View>)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
) -> Result<Json<Items<View>>, Problem> {
    let clusters = clusters::list(&mut *app.catalog().await?).await?;
    Ok(Json(Items::whole(View::all(&app, clusters).await?)))
}
