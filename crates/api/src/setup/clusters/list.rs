//! `GET /setup/clusters`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::{clusters, shares};

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
    let mut conn = app.catalog().await?;
    let clusters = clusters::list(&mut conn).await?;
    let taken = shares::taken(&mut conn).await?;
    let views = clusters.into_iter().map(|one| View::new(one, &taken));
    Ok(Json(Items::whole(views)))
}
