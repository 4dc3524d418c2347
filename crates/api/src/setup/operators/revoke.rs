//! `DELETE /setup/operators/{operator}`, by id or name.

use axum::Json;
use axum::extract::State;
use serde_json::json;
use tenantry_catalog::operators;
use tenantry_types::Timestamp;

use super::{View, begin, commit, find, told};
use crate::app::App;
use crate::context::{Operator, OperatorRef, Path};
use crate::openapi::words;
use crate::problem::Problem;

/// Makes an operator's tokens worthless at once. One owner whose token never ends must be left: nobody
/// could make another over this API.
#[utoipa::path(
    delete, path = "/setup/operators/{operator}", tag = "operators", operation_id = "revokeOperator",
    params(("operator" = words::OperatorRef, Path, description = "The operator's id or name.")),
    responses(
        (status = 200, description = "The operator, whose token is worthless now.", body = View),
    ),
    extensions(("x-problems" = json!(["LAST_OWNER", "OPERATOR_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Path(OperatorRef(whom)): Path<OperatorRef>,
) -> Result<Json<View>, Problem> {
    let mut tx = begin(&app, &operator).await?;
    let found = find(&mut tx, &whom).await?;
    let revoked_at: Timestamp = operators::revoke(&mut tx, found.id)
        .await?
        .ok_or_else(|| Problem::not_found("OPERATOR_NOT_FOUND"))?;
    let detail = json!({
        "operatorId": found.id,
        "name": found.name,
        "from": told(found.role, found.expires_at),
        "to": { "revokedAt": revoked_at },
    });
    commit(tx, &app, &operator, "operator.revoke", detail).await?;
    Ok(Json(View::from(operators::Operator {
        revoked_at: Some(revoked_at),
        former_until: None,
        ..found
    })))
}
