//! `DELETE /setup/tenants/{tenant}/logins/{login}`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tenantry_catalog::tenants::TenantRef;
use tenantry_types::RoleName;

use super::View;
use crate::app::App;
use crate::context::{Operator, Path};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Operate;
use crate::setup::progress::{self, Accepted, Outcome, RespondAsync};

/// Ends a login before its time: when this answers, nobody gets in by it and its sessions are over.
#[utoipa::path(
    delete, path = "/setup/tenants/{tenant}/logins/{login}", tag = "tenants", operation_id = "endLogin",
    params(
        ("tenant" = words::TenantRef, Path, description = "The tenant's id or slug."),
        ("login" = words::DatabaseName, Path, description = "The login's name."),
    ),
    responses(
        (status = 200, description = "The login as it was.", body = View),
        (
            status = 202,
            description = "It takes longer than a request may, and goes on; ask for the operation.",
            body = Accepted,
            headers(("location" = String, description = "The operation.")),
        ),
    ),
    extensions(("x-problems" = json!([
        "CLUSTER_NOT_OURS", "CLUSTER_REFUSED", "CLUSTER_STILL_CONNECTED", "CLUSTER_UNAVAILABLE",
        "CLUSTER_UNSUITABLE", "LOGIN_NOT_FOUND", "NO_CLUSTER", "OPERATION_IN_PROGRESS", "OPERATION_PARKED",
        "TENANT_NOT_FOUND", "WRONG_STATE"
    ]))),
)]
pub(crate) async fn handle(
    operator: Operator<Operate>,
    State(app): State<App>,
    prefer: RespondAsync,
    Path((tenant, login)): Path<(TenantRef, RoleName)>,
) -> Result<Response, Problem> {
    let all = app.lifecycle.logins(&tenant).await?;
    let found = all.into_iter().find(|found| found.name == login);
    let found = found.ok_or_else(|| Problem::not_found("LOGIN_NOT_FOUND"))?;
    let started = app
        .lifecycle
        .end_login(&tenant, &login, operator.asker())
        .await?;
    match progress::outcome(&app, started.operation_id, started.tenant_id, prefer).await? {
        Outcome::GoesOn(response) => Ok(response),
        Outcome::Done => Ok(Json(View::from(found)).into_response()),
    }
}
