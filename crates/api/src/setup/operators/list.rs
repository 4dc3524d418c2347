//! `GET /setup/operators`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::operators;

use super::View;
use crate::app::App;
use crate::context::{Items, Operator};
use crate::problem::Problem;
use crate::rights::Read;

/// All operators, the revoked ones too.
#[utoipa::path(
    get, path = "/setup/operators", tag = "operators", operation_id = "listOperators",
    responses((status = 200, description = "All operators, on one page.", body = Items<View>)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let all = operators::list(&mut conn).await?;
    Ok(Json(Items::whole(all.into_iter().map(View::from))))
}
