//! `POST /setup/adoptions/check`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_lifecycle::AdoptionChecked;
use utoipa::ToSchema;

use super::request::{Adoption, Written};
use crate::app::App;
use crate::context::Operator;
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// What an adoption would do, and what stands against it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CheckedAdoption)]
pub(crate) struct Answer {
    /// Whether it can be adopted as it is, with what was agreed to.
    can_adopt: bool,
    /// All that stands against it.
    refusals: Vec<Refused>,
    #[schema(value_type = words::ClusterName)]
    cluster: String,
    /// The role that owns the database, and would be shut out like all others; none where there is no such database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    owner: Option<String>,
    /// How many sessions are open in it, and would be ended.
    #[schema(minimum = 0)]
    sessions: i64,
    /// Other roles that would be shut out as long as it is a tenant's.
    shut_out: Vec<String>,
    /// The schemas of which everything would be the tenant's.
    schemas: Vec<String>,
    /// What does not stand against it and should be known before: of its owner, and the settings that stay. Sentences for
    /// people.
    warnings: Vec<String>,
}

/// One thing that stands against it.
#[derive(Serialize, ToSchema)]
#[schema(as = AdoptionRefusal)]
pub(crate) struct Refused {
    /// A stable code.
    #[schema(example = "ADOPT_SESSIONS")]
    code: &'static str,
    /// What it is and what helps.
    message: String,
}

impl From<AdoptionChecked> for Answer {
    fn from(checked: AdoptionChecked) -> Self {
        let refusals = checked.refusals.iter().map(|refusal| Refused {
            code: refusal.code(),
            message: format!("{}.", refusal.to_string().trim_end_matches('.')),
        });
        Self {
            can_adopt: checked.refusals.is_empty(),
            refusals: refusals.collect(),
            cluster: checked.cluster,
            owner: checked.owner,
            sessions: checked.sessions,
            shut_out: checked.shut_out,
            schemas: checked.schemas,
            warnings: checked.warnings,
        }
    }
}

/// Looks whether a database can be adopted, and says all that stands against it at once. Changes nothing.
#[utoipa::path(
    post, path = "/setup/adoptions/check", tag = "tenants", operation_id = "checkAdoption",
    request_body = Written,
    responses((status = 200, description = "What was found.", body = Answer)),
    extensions(("x-problems" = json!([
        "CLUSTER_DRAINING", "CLUSTER_REFUSED", "CLUSTER_UNAVAILABLE", "NO_CLUSTER"
    ]))),
)]
pub(crate) async fn handle(
    _operator: Operator<Operate>,
    State(app): State<App>,
    Body(adoption): Body<Adoption>,
) -> Result<Json<Answer>, Problem> {
    let fields = adoption.tenant.cluster_fields();
    let checked = app.lifecycle.check_adoption(&adoption.into()).await;
    let checked = checked.map_err(|error| Adoption::problem_of(fields, error))?;
    Ok(Json(checked.into()))
}
