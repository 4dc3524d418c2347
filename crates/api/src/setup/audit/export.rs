//! `GET /setup/audit/export`

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::header::CONTENT_TYPE;
use tenantry_catalog::CatalogError;
use tenantry_catalog::audit::{self, Filter};

use super::{View, Which};
use crate::app::App;
use crate::context::{Operator, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// How many lines are read at a time; nothing of the catalog is held between.
const AT_A_TIME: u32 = 500;

/// Which acts are exported.
pub(crate) struct Wanted(Which);

impl FromFields for Wanted {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self(Which::read(fields)))
    }
}

/// What was done through the control plane, the oldest first, as a stream of JSON lines: each an act as the
/// list shows it. A stream that breaks off was cut, and is not whole: ask again. With `until` some minutes
/// ago, nothing is added behind what was streamed.
#[utoipa::path(
    get, path = "/setup/audit/export", tag = "audit", operation_id = "exportAudit",
    params(
        ("actor" = Option<words::Actor>, Query, description = "Only what this one did."),
        ("action" = Option<words::AuditAction>, Query, description = "Only this act, or with a `.` at its end those that begin so."),
        ("tenant" = Option<words::TenantRef>, Query, description = "Only what was done to this tenant: its id, or its slug while there is the tenant."),
        ("requestId" = Option<String>, Query, description = "Only what this request asked for.", min_length = 1, max_length = 64),
        ("since" = Option<words::Timestamp>, Query, description = "Only what was done then or later."),
        ("until" = Option<words::Timestamp>, Query, description = "Only what was done before."),
        ("outcome" = Option<words::AuditOutcome>, Query, description = "Only what ended so."),
    ),
    responses((
        status = 200, description = "An act a line.", content_type = "application/x-ndjson", body = String,
    )),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Query(Wanted(which)): Query<Wanted>,
) -> Result<Response, Problem> {
    let mut conn = app.catalog().await?;
    let filter = Filter {
        limit: AT_A_TIME,
        ..which.filter(&mut conn).await?
    };
    drop(conn);
    let pages = stream::try_unfold((app, Some(filter)), async |(app, filter)| {
        let Some(filter) = filter else {
            return Ok::<_, CatalogError>(None);
        };
        let mut conn = app.catalog.acquire().await?;
        let page = audit::since(&mut conn, &filter).await?;
        drop(conn);
        let mut lines = Vec::new();
        for view in page.items.into_iter().map(View::from) {
            // A map with text keys cannot fail.
            let _ = serde_json::to_writer(&mut lines, &view);
            lines.push(b'\n');
        }
        let next = page.next.map(|next| Filter {
            after: Some(next),
            ..filter
        });
        Ok(Some((Bytes::from(lines), (app, next))))
    });
    let kind = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(pages)).into_response())
}
