//! `DELETE /setup/operators/{operator}`, by id or name.

use axum::Json;
use axum::extract::State;
use tenantry_catalog::{CatalogError, operators};
use tenantry_types::ErrorKind;

use super::{View, note};
use crate::app::App;
use crate::context::{Operator, OperatorRef, Path};
use crate::openapi::words;
use crate::problem::Problem;

/// Makes an operator's token worthless at once. The last one cannot be revoked: nobody could make
/// another over this API.
#[utoipa::path(
    delete, path = "/setup/operators/{operator}", tag = "operators", operation_id = "revokeOperator",
    params(("operator" = words::OperatorRef, Path, description = "The operator's id or name.")),
    responses(
        (status = 200, description = "The operator, whose token is worthless now.", body = View),
    ),
    extensions(("x-problems" = json!(["LAST_OPERATOR", "OPERATOR_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Path(OperatorRef(whom)): Path<OperatorRef>,
) -> Result<Json<View>, Problem> {
    let mut tx = app.catalog.begin().await.map_err(CatalogError::from)?;
    let revoked = operators::revoke(&mut tx, &whom)
        .await?
        .ok_or_else(|| Problem::not_found("OPERATOR_NOT_FOUND"))?;
    let left = operators::list(&mut tx).await?;
    if left.iter().all(|operator| operator.revoked_at.is_some()) {
        return Err(Problem::new(ErrorKind::Conflict, "LAST_OPERATOR"));
    }
    note(&mut tx, &app, &operator, "operator.revoke", revoked.id).await?;
    tx.commit().await.map_err(CatalogError::from)?;
    Ok(Json(revoked.into()))
}
