//! `PATCH /setup/operators/{operator}`, by id or name.

use axum::Json;
use axum::extract::State;
use serde_json::json;
use tenantry_catalog::operators::{self, Role};
use utoipa::ToSchema;

use super::ttl::{self, Ttl};
use super::{View, begin, commit, find, told};
use crate::app::App;
use crate::context::{Operator, OperatorRef, Path};
use crate::fields::{Fields, FromFields};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;

/// What is to change about an operator; what is not sent stays.
#[derive(ToSchema)]
#[schema(as = OperatorChange, examples(json!({ "role": "read_only" }), json!({ "ttl": "30d" })))]
pub(crate) struct Change {
    #[schema(value_type = words::OperatorRole, required = false)]
    role: Option<Role>,
    /// From now on. An owner whose token never ends and who becomes something else has 90 days.
    #[schema(value_type = words::TokenTtl, required = false)]
    ttl: Option<Ttl>,
}

impl FromFields for Change {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            role: fields.optional("role", str::parse),
            ttl: fields.optional("ttl", ttl::parse),
        })
    }
}

/// Sets what an operator may do, and when their token ends. In force when this answers, for each request
/// that comes then. One owner whose token never ends must be left.
#[utoipa::path(
    patch, path = "/setup/operators/{operator}", tag = "operators", operation_id = "updateOperator",
    params(("operator" = words::OperatorRef, Path, description = "The operator's id or name.")),
    request_body = Change,
    responses((status = 200, description = "The operator.", body = View)),
    extensions(("x-problems" = json!(["LAST_OWNER", "OPERATOR_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Path(OperatorRef(whom)): Path<OperatorRef>,
    Body(change): Body<Change>,
) -> Result<Json<View>, Problem> {
    let mut tx = begin(&app, &operator).await?;
    let before = find(&mut tx, &whom).await?;
    let role = change.role.unwrap_or(before.role);
    let expires_at = match (change.ttl, before.expires_at) {
        (None, Some(end)) => Some(end),
        (ttl, _) => ttl::end_of(ttl, role, app.clock.now())?,
    };
    operators::update(&mut tx, before.id, role, expires_at).await?;
    let after = find(&mut tx, &before.id.to_string()).await?;
    if after == before {
        return Ok(Json(before.into()));
    }
    let detail = json!({
        "operatorId": before.id,
        "name": before.name,
        "from": told(before.role, before.expires_at),
        "to": told(after.role, after.expires_at),
    });
    commit(tx, &app, &operator, "operator.update", detail).await?;
    Ok(Json(after.into()))
}
