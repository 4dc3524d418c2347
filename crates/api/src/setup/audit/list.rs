//! `GET /setup/audit`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::audit::{self, Filter};

use super::{Search, View};
use crate::app::App;
use crate::context::{Items, Operator, Query};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// What was done through the control plane, the newest first.
#[utoipa::path(
    get, path = "/setup/audit", tag = "audit", operation_id = "listAudit",
    params(
        ("limit" = Option<words::Limit>, Query, description = "How many at most."),
        ("cursor" = Option<words::Cursor>, Query, description = "`nextCursor` of the page before."),
        ("actor" = Option<words::Actor>, Query, description = "Only what this one did."),
        ("action" = Option<words::AuditAction>, Query, description = "Only this act, or with a `.` at its end those that begin so."),
        ("tenant" = Option<words::TenantRef>, Query, description = "Only what was done to this tenant: its id, or its slug while there is the tenant."),
        ("requestId" = Option<String>, Query, description = "Only what this request asked for.", min_length = 1, max_length = 64),
        ("since" = Option<words::Timestamp>, Query, description = "Only what was done then or later."),
        ("until" = Option<words::Timestamp>, Query, description = "Only what was done before."),
        ("outcome" = Option<words::AuditOutcome>, Query, description = "Only what ended so."),
    ),
    responses((status = 200, description = "A page of acts.", body = Items<View>)),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Query(wanted): Query<Search>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let filter = Filter {
        limit: wanted.page.limit,
        after: wanted.page.after,
        ..wanted.which.filter(&mut conn).await?
    };
    let page = audit::page(&mut conn, &filter).await?;
    Ok(Json(Items::new(
        page.items.into_iter().map(View::from),
        page.next,
    )))
}
