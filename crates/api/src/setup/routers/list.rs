//! `GET /setup/routers`

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use tenantry_catalog::clusters;

use super::view::{self, View};
use crate::app::App;
use crate::context::{Items, Operator};
use crate::problem::Problem;
use crate::rights::Read;

/// Every registered router, how far it has come in the change log and what it has open on each
/// cluster. One that was killed is told for a day.
#[utoipa::path(
    get, path = "/setup/routers", tag = "operations", operation_id = "listRouters",
    responses((status = 200, description = "All routers, on one page.", body = Items<View>)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let names: HashMap<_, _> = clusters::list(&mut conn)
        .await?
        .into_iter()
        .map(|cluster| (cluster.id, cluster.name))
        .collect();
    let (latest, routers) = view::all(&app, &mut conn).await?;
    Ok(Json(Items::whole(routers.iter().map(|seen| {
        View::new(seen, latest, |cluster| names.get(&cluster).cloned())
    }))))
}
