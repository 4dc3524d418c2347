//! `GET /setup/tenants`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::tenants::{self, Cursor, Filter, Status};

use super::view::View;
use crate::app::App;
use crate::context::{Items, Operator, Page, Query};
use crate::fields::{Fields, FromFields, line};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

pub(crate) struct Search {
    page: Page<Cursor>,
    status: Option<Status>,
    search: Option<String>,
}

impl FromFields for Search {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let page = Page::from_fields(fields);
        let status = fields.optional("status", str::parse);
        let search = fields.optional("search", |text| line(text, 0, 200));
        Some(Self {
            page: page?,
            status,
            search: search.filter(|text| !text.is_empty()),
        })
    }
}

/// Tenants in the order of their creation; `search` looks into slug and name.
#[utoipa::path(
    get, path = "/setup/tenants", tag = "tenants", operation_id = "listTenants",
    params(
        ("limit" = Option<words::Limit>, Query, description = "How many at most."), ("cursor" = Option<words::Cursor>, Query, description = "`nextCursor` of the page before."),
        ("status" = Option<words::TenantStatus>, Query, description = "Only those in this state."),
        ("search" = Option<words::Search>, Query, description = "Only those whose slug or name holds this."),
    ),
    responses((status = 200, description = "A page of tenants.", body = Items<View>)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Query(wanted): Query<Search>,
) -> Result<Json<Items<View>>, Problem> {
    let filter = Filter {
        status: wanted.status,
        search: wanted.search,
        limit: wanted.page.limit,
        after: wanted.page.after,
    };
    let mut conn = app.catalog().await?;
    let page = tenants::page(&mut conn, &filter).await?;
    let items = page
        .items
        .into_iter()
        .map(|tenant| View::new(tenant, &app.config));
    Ok(Json(Items::new(items, page.next)))
}
