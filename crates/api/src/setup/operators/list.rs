//! `GET /setup/operators`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::operators;

use super::View;
use crate::app::App;
use crate::context::{Items, Operator};
use crate::problem::Problem;

/// All operators, the revoked ones too.
pub(crate) async fn handle(
    _: Operator,
    State(app): State<App>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let all = operators::list(&mut conn).await?;
    Ok(Json(Items::whole(all.into_iter().map(View::from))))
}
