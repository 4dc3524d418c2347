//! `POST /setup/operators`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::Serialize;
use tenantry_catalog::{CatalogError, operators};
use tenantry_types::OperatorId;
use utoipa::ToSchema;

use super::note;
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
#[schema(examples(json!({ "name": "billing backend" })))]
pub(crate) struct NewOperator {
    #[schema(value_type = words::OperatorName)]
    name: String,
}

impl FromFields for NewOperator {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.required("name", |text| line(text, 1, 100))?,
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
    let id = OperatorId::generate(&app.clock, &app.entropy);
    let token = new_operator_token(&app.entropy);
    let mut tx = app.catalog.begin().await.map_err(CatalogError::from)?;
    operators::insert(&mut tx, id, &new.name, hash_token(&token)).await?;
    note(&mut tx, &app, &operator, "operator.create", id).await?;
    tx.commit().await.map_err(CatalogError::from)?;

    let location = format!("/setup/operators/{id}");
    let created = Created {
        operator_id: id,
        name: new.name,
        token: token.into(),
    };
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(created)).into_response())
}
