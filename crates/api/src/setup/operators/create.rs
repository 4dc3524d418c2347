//! `POST /setup/operators`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use serde::Serialize;
use tenantry_catalog::{CatalogError, operators};
use tenantry_types::OperatorId;

use super::note;
use crate::app::App;
use crate::context::Operator;
use crate::fields::{Fields, FromFields, line};
use crate::json::Body;
use crate::operator_token::{hash_token, new_operator_token};
use crate::problem::Problem;
use crate::told::Told;

pub(crate) struct NewOperator {
    name: String,
}

impl FromFields for NewOperator {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.required("name", |text| line(text, 1, 100))?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    operator_id: OperatorId,
    name: String,
    token: Told,
}

/// Makes an operator; the token is told here and never again.
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
