//! `GET /setup/operations`

use axum::Json;
use axum::extract::State;
use tenantry_catalog::operations::{self, Cursor, Filter, Status};
use tenantry_catalog::tenants::{self, TenantRef};

use super::show::Line;
use crate::app::App;
use crate::context::{Items, Operator, Page, Query};
use crate::fields::{Fields, FromFields, line};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

pub(crate) struct Search {
    page: Page<Cursor>,
    status: Option<Status>,
    kind: Option<String>,
    tenant: Option<TenantRef>,
}

impl FromFields for Search {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let page = Page::from_fields(fields);
        let status = fields.optional("status", str::parse);
        let kind = fields.optional("kind", |text| line(text, 1, 40));
        let tenant = fields.optional("tenant", str::parse);
        Some(Self {
            page: page?,
            status,
            kind,
            tenant,
        })
    }
}

/// Operations, the newest first, without their steps.
#[utoipa::path(
    get, path = "/setup/operations", tag = "operations", operation_id = "listOperations",
    params(
        ("limit" = Option<words::Limit>, Query, description = "How many at most."),
        ("cursor" = Option<words::Cursor>, Query, description = "`nextCursor` of the page before."),
        ("status" = Option<words::OperationStatus>, Query, description = "Only those that stand so."),
        ("kind" = Option<words::OperationKind>, Query, description = "Only those of this kind, e.g. `create`."),
        ("tenant" = Option<words::TenantRef>, Query, description = "Only those of this tenant: its id, or its slug while there is the tenant."),
    ),
    responses((status = 200, description = "A page of operations.", body = Items<Line>)),
    extensions(("x-problems" = json!(["TENANT_NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Query(wanted): Query<Search>,
) -> Result<Json<Items<Line>>, Problem> {
    let mut conn = app.catalog().await?;
    let tenant = match wanted.tenant {
        None => None,
        // A tenant that was purged has no row; its operations remain.
        Some(TenantRef::Id(id)) => Some(id),
        Some(tenant) => {
            let found = tenants::by_ref(&mut conn, &tenant).await?;
            Some(
                found
                    .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?
                    .id,
            )
        }
    };
    let filter = Filter {
        status: wanted.status,
        kind: wanted.kind,
        tenant,
        limit: wanted.page.limit,
        after: wanted.page.after,
    };
    let page = operations::page(&mut conn, &filter).await?;
    Ok(Json(Items::new(
        page.items.into_iter().map(Line::from),
        page.next,
    )))
}
