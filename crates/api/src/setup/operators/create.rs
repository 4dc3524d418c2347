//! `POST /setup/operators`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::Serialize;
use serde_json::json;
use tenantry_catalog::operators::{self, Role};
use tenantry_types::{OperatorId, Timestamp};
use utoipa::ToSchema;

use super::ttl::{self, Ttl};
use super::{begin, commit, told};
use crate::app::App;
use crate::context::Operator;
use crate::fields::{Fields, FromFields, line};
use crate::json::Body;
use crate::openapi::words;
use crate::operator_token::{hash_token, new_operator_token};
use crate::problem::Problem;
use crate::told::Told;

/// An operator to make.
#[derive(ToSchema)]
#[schema(examples(json!({ "name": "billing backend", "role": "provisioner", "ttl": "90d" })))]
pub(crate) struct NewOperator {
    #[schema(value_type = words::OperatorName)]
    name: String,
    /// By default `operator`.
    #[schema(value_type = words::OperatorRole, required = false)]
    role: Role,
    /// By default an owner's token never ends, and any other's in 90 days.
    #[schema(value_type = words::TokenTtl, required = false)]
    ttl: Option<Ttl>,
}

impl FromFields for NewOperator {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name", |text| line(text, 1, 100));
        let role = fields.optional("role", str::parse);
        let ttl = fields.optional("ttl", ttl::parse);
        Some(Self {
            name: name?,
            role: role.unwrap_or(Role::Operator),
            ttl,
        })
    }
}

/// A new operator with the token, which is told once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreatedOperator)]
pub(crate) struct Created {
    #[schema(value_type = words::OperatorId)]
    operator_id: OperatorId,
    #[schema(value_type = words::OperatorName)]
    name: String,
    #[schema(value_type = words::OperatorRole)]
    role: Role,
    /// When the token ends; `null`: never.
    #[schema(value_type = Option<words::Timestamp>, required)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = words::Secret)]
    token: Told,
}

/// Makes an operator; the token is told here and never again.
#[utoipa::path(
    post, path = "/setup/operators", tag = "operators", operation_id = "createOperator",
    request_body = NewOperator,
    responses(
        (
            status = 201,
            description = "The operator and their token.",
            body = Created,
            headers(("location" = String, description = "The operator.")),
        ),
    ),
    extensions(("x-problems" = json!(["OPERATOR_NAME_TAKEN"]))),
)]
pub(crate) async fn handle(
    operator: Operator,
    State(app): State<App>,
    Body(new): Body<NewOperator>,
) -> Result<Response, Problem> {
    let expires_at = ttl::end_of(new.ttl, new.role, app.clock.now())?;
    let id = OperatorId::generate(&app.clock, &app.entropy);
    let token = new_operator_token(&app.entropy);
    let mut tx = begin(&app, &operator).await?;
    let row = operators::NewOperator {
        id,
        name: &new.name,
        role: new.role,
        expires_at,
        token_hash: hash_token(&token),
    };
    operators::insert(&mut tx, &row).await?;
    let detail = json!({ "operatorId": id, "name": new.name, "to": told(new.role, expires_at) });
    commit(tx, &app, &operator, "operator.create", detail).await?;

    let location = format!("/setup/operators/{id}");
    let created = Created {
        operator_id: id,
        name: new.name,
        role: new.role,
        expires_at,
        token: token.into(),
    };
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(created)).into_response())
}
