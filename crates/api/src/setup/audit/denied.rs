//! `GET /setup/audit/denied`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_catalog::audit::denied::{self, Denied};
use tenantry_types::Timestamp;
use utoipa::ToSchema;

use super::moment;
use crate::app::App;
use crate::context::{Items, Operator, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// How many are told.
const MOST: u32 = 1000;

/// When they were refused.
pub(crate) struct Span {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl FromFields for Span {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self {
            since: fields.optional("since", moment),
            until: fields.optional("until", moment),
        })
    }
}

/// So many calls of the setup API that were refused for who asked, in one minute.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeniedCalls)]
pub(crate) struct View {
    /// The minute's beginning.
    #[schema(value_type = words::Timestamp)]
    minute: Timestamp,
    /// Where they came from: an address, a network of /64 for IPv6, or `others` where there were more
    /// addresses than are told apart.
    #[schema(example = "192.0.2.17")]
    address: String,
    /// What they were answered.
    #[schema(example = "UNAUTHENTICATED")]
    code: String,
    calls: i64,
}

impl From<Denied> for View {
    fn from(denied: Denied) -> Self {
        Self {
            minute: denied.minute,
            address: denied.address,
            code: denied.code,
            calls: denied.calls,
        }
    }
}

/// Calls of the setup API that were refused for who asked (401 and 403), counted by address and minute, the
/// newest minutes first. They are kept for 30 days. What other processes counted in the last seconds may be
/// missing.
#[utoipa::path(
    get, path = "/setup/audit/denied", tag = "audit", operation_id = "listDenied",
    params(
        ("since" = Option<words::Timestamp>, Query, description = "Only minutes that began then or later."),
        ("until" = Option<words::Timestamp>, Query, description = "Only minutes that began before."),
    ),
    responses((status = 200, description = "At most 1000 of them, on one page.", body = Items<View>)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Query(span): Query<Span>,
) -> Result<Json<Items<View>>, Problem> {
    app.denials.flush(&app.catalog).await?;
    let mut conn = app.catalog().await?;
    let all = denied::list(&mut conn, span.since, span.until, MOST).await?;
    Ok(Json(Items::whole(all.into_iter().map(View::from))))
}
