//! `PATCH /setup/tenants/{tenant}`

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use tenantry_catalog::tenants::TenantRef;
use tenantry_lifecycle::Update;
use tenantry_types::Plan;
use utoipa::ToSchema;

use super::request;
use super::view::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::fields::{Fields, FromFields, line};
use crate::json::Body;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;

/// What is absent stays as it is.
#[derive(ToSchema)]
#[schema(
    as = TenantPatch, rename_all = "camelCase",
    examples(json!({ "plan": "pro", "metadata": { "crmId": 4712, "trialEnds": null }, "limits": { "maxConnections": 20 } }))
)]
pub(crate) struct Patch {
    #[schema(value_type = words::TenantName, required = false)]
    name: Option<String>,
    #[schema(value_type = words::Plan, required = false)]
    plan: Option<Plan>,
    /// A merge patch (RFC 7396): a key with `null` is removed, objects are merged, all else replaces what
    /// is there.
    #[schema(value_type = words::Metadata, required = false)]
    metadata: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    limits: Option<Limits>,
}

/// Limits of this tenant's own.
#[derive(ToSchema)]
#[schema(as = TenantLimitsPatch, rename_all = "camelCase")]
pub(crate) struct Limits {
    /// How many connections each router may hold for it; `null`: what its plan says.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000, required = false)]
    max_connections: Option<Option<u32>>,
}

impl FromFields for Patch {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            name: fields.optional("name", |text| line(text, 1, 200)),
            plan: fields.optional("plan", Plan::parse),
            metadata: request::metadata(fields),
            limits: fields.nested("limits"),
        })
    }
}

impl FromFields for Limits {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let most = fields.nullable_number("maxConnections", 1, 10_000);
        Some(Self {
            max_connections: most.map(|most| most.and_then(|most| u32::try_from(most).ok())),
        })
    }
}

/// Changes a tenant's name, plan, metadata and limits. When this answers, they are in force on every
/// router: of a lower limit idle connections are closed, and those in use end with their requests.
#[utoipa::path(
    patch, path = "/setup/tenants/{tenant}", tag = "tenants", operation_id = "updateTenant",
    params(("tenant" = words::TenantRef, Path, description = "The tenant's id or slug.")),
    request_body = Patch,
    responses((status = 200, description = "The tenant.", body = View)),
    extensions(("x-problems" = json!(["ROUTERS_BEHIND", "TENANT_NOT_FOUND", "WRONG_STATE"]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    Path(tenant): Path<TenantRef>,
    Body(patch): Body<Patch>,
) -> Result<Json<View>, Problem> {
    let update = Update {
        name: patch.name,
        plan: patch.plan,
        metadata: patch.metadata,
        max_connections: patch.limits.and_then(|limits| limits.max_connections),
    };
    let updated = app
        .lifecycle
        .update(&tenant, update, &operator.asker())
        .await?;
    Ok(Json(View::new(updated, &app.config)))
}
