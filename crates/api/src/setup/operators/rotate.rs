//! `POST /setup/operators/{operator}/rotate`, by id or name.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::json;
use tenantry_catalog::operators::{self, Role};
use tenantry_types::{OperatorId, Timestamp};
use utoipa::ToSchema;

use super::ttl::{self, Ttl};
use super::{begin, commit, find};
use crate::app::App;
use crate::context::{Operator, OperatorRef, Path};
use crate::duration;
use crate::fields::{Fields, FromFields};
use crate::json::OptionalBody;
use crate::openapi::words;
use crate::operator_token::{hash_token, new_operator_token};
use crate::problem::Problem;
use crate::told::Told;

const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How a token is replaced.
#[derive(Default, ToSchema)]
#[schema(as = OperatorRotation, examples(json!({ "overlap": "24h", "ttl": "90d" })))]
pub(crate) struct Rotation {
    /// For how long the present token is good, too; at most 30 days and not beyond its own end. By default
    /// it is worthless when this answers.
    #[schema(value_type = words::Duration, required = false)]
    overlap: Duration,
    /// For how long the new one is good. By default never-ending where the present one is, and else 90 days.
    #[schema(value_type = words::TokenTtl, required = false)]
    ttl: Option<Ttl>,
}

impl FromFields for Rotation {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let overlap = fields.optional("overlap", |text| duration::parse(text, LONGEST));
        Some(Self {
            overlap: overlap.unwrap_or_default(),
            ttl: fields.optional("ttl", ttl::parse),
        })
    }
}

/// An operator's new token, which is told once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RotatedOperator)]
pub(crate) struct Rotated {
    #[schema(value_type = words::OperatorId)]
    operator_id: OperatorId,
    #[schema(value_type = words::OperatorName)]
    name: String,
    #[schema(value_type = words::OperatorRole)]
    role: Role,
    /// When the new token ends; `null`: never.
    #[schema(value_type = Option<words::Timestamp>, required)]
    expires_at: Option<Timestamp>,
    /// Until when the token before is good, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    former_token_until: Option<Timestamp>,
    #[schema(value_type = words::Secret)]
    token: Told,
}

/// Gives an operator another token, told here and never again. The present one is good for as long as
/// `overlap` says, and one that was replaced before is worthless at once.
#[utoipa::path(
    post, path = "/setup/operators/{operator}/rotate", tag = "operators", operation_id = "rotateOperator",
    params(("operator" = words::OperatorRef, Path, description = "The operator's id or name.")),
    request_body = Option<Rotation>,
    responses((status = 200, description = "The operator and their new token.", body = Rotated)),
    extensions(("x-problems" = json!(["LAST_OWNER", "OPERATOR_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Path(OperatorRef(whom)): Path<OperatorRef>,
    OptionalBody(rotation): OptionalBody<Rotation>,
) -> Result<Json<Rotated>, Problem> {
    let rotation = rotation.unwrap_or_default();
    let mut tx = begin(&app, &operator).await?;
    let found = find(&mut tx, &whom).await?;
    let now = app.clock.now();
    let expires_at = match (rotation.ttl, found.expires_at, found.role) {
        // An owner whose token ends goes on with one that does.
        (None, Some(_), Role::Owner) => ttl::end_of(None, Role::Operator, now)?,
        (ttl, _, role) => ttl::end_of(ttl, role, now)?,
    };
    let overlap = TimeDelta::from_std(rotation.overlap).unwrap_or_default();
    let until = found
        .expires_at
        .map_or(now + overlap, |end| end.min(now + overlap));
    let former_until = (until > now).then_some(until);
    let token = new_operator_token(&app.entropy);
    operators::replace_token(
        &mut tx,
        found.id,
        hash_token(&token),
        expires_at,
        former_until,
    )
    .await?;
    let detail = json!({
        "operatorId": found.id,
        "name": found.name,
        "from": { "expiresAt": found.expires_at },
        "to": { "expiresAt": expires_at, "formerTokenUntil": former_until },
    });
    commit(tx, &app, &operator, "operator.rotate", detail).await?;
    Ok(Json(Rotated {
        operator_id: found.id,
        name: found.name,
        role: found.role,
        expires_at,
        former_token_until: former_until,
        token: token.into(),
    }))
}
