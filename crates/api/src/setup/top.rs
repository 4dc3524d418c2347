//! `GET /setup/top`: which tenants have most connections, wait most, or fail most, over all routers.

use std::cmp::Reverse;
use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tenantry_catalog::routers::TenantTrouble;
use tenantry_catalog::tenants;
use tenantry_types::TenantId;
use utoipa::ToSchema;

use super::routers::view::{self, Failed};
use crate::app::App;
use crate::context::{Items, Operator, Query};
use crate::fields::{Fields, FromFields};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Read;

/// How many are told.
const MOST: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Waits,
    Connections,
    Errors,
}

pub(crate) struct Order {
    by: By,
}

impl FromFields for Order {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let by = fields.optional("by", |text| match text {
            "waits" => Ok(By::Waits),
            "connections" => Ok(By::Connections),
            "errors" => Ok(By::Errors),
            _ => Err("must be `waits`, `connections` or `errors`"),
        });
        Some(Self {
            by: by.unwrap_or(By::Errors),
        })
    }
}

/// A tenant among those with most.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TopTenant)]
pub(crate) struct View {
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    /// Absent when it was purged since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Slug, required = false)]
    slug: Option<String>,
    /// Connections that it has open.
    connections: u64,
    /// Requests that had to wait for a connection lately, at least. What is five minutes old counts
    /// half.
    waits: u64,
    /// Requests that got no connection lately, at least; as `waits`.
    errors: u64,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<Failed>,
}

/// The tenants with most, the most first: at most twenty, as all live routers tell. A tenant that is
/// nowhere among the first ten is not told.
#[utoipa::path(
    get, path = "/setup/top", tag = "operations", operation_id = "listTopTenants",
    params(("by" = Option<words::TopOrder>, Query, description = "What they are ordered by.")),
    responses((status = 200, description = "Those with most.", body = Items<View>)),
)]
pub(crate) async fn handle(
    _: Operator<Read>,
    State(app): State<App>,
    Query(order): Query<Order>,
) -> Result<Json<Items<View>>, Problem> {
    let mut conn = app.catalog().await?;
    let (_, routers) = view::all(&app, &mut conn).await?;
    let live = routers.iter().filter(|seen| seen.detail.router.live);
    let told = live.filter_map(|seen| seen.report());
    let mut all = sum(told.flat_map(|report| &report.troubled), order.by);
    let ids: Vec<TenantId> = all.iter().map(|one| one.tenant_id).collect();
    let slugs: HashMap<_, _> = tenants::slugs(&mut conn, &ids).await?.into_iter().collect();
    for one in &mut all {
        one.slug = slugs
            .get(&one.tenant_id)
            .map(|slug| slug.as_str().to_owned());
    }
    Ok(Json(Items::whole(all)))
}

/// What several routers told of each tenant.
fn sum<'a>(told: impl Iterator<Item = &'a TenantTrouble>, by: By) -> Vec<View> {
    let mut all: HashMap<TenantId, View> = HashMap::new();
    for one in told {
        let view = all.entry(one.tenant_id).or_insert_with(|| View {
            tenant_id: one.tenant_id,
            slug: None,
            connections: 0,
            waits: 0,
            errors: 0,
            last_error: None,
        });
        view.connections = view.connections.saturating_add(one.connections);
        view.waits = view.waits.saturating_add(one.waits);
        view.errors = view.errors.saturating_add(one.errors);
        let last = one.last.as_ref().map(Failed::from);
        let newer = |failed: &Failed| {
            view.last_error
                .as_ref()
                .is_none_or(|known| known.at < failed.at)
        };
        if let Some(failed) = last.filter(newer) {
            view.last_error = Some(failed);
        }
    }
    let count = |view: &View| match by {
        By::Waits => view.waits,
        By::Connections => view.connections,
        By::Errors => view.errors,
    };
    let mut all: Vec<View> = all.into_values().filter(|view| count(view) > 0).collect();
    all.sort_by_key(|view| (Reverse(count(view)), view.tenant_id));
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use tenantry_catalog::routers::LastError;
    use tenantry_types::Clock;

    use super::*;

    #[test]
    fn what_several_routers_tell_is_added_and_ordered() {
        let now = Clock::system().now();
        let told = |number: u128, waits, errors, code: &str, ago| TenantTrouble {
            tenant_id: TenantId::from_uuid(uuid::Uuid::from_u128(number)),
            connections: 1,
            waits,
            errors,
            last: Some(LastError {
                at: now - chrono::TimeDelta::seconds(ago),
                code: code.to_owned(),
                reason: String::new(),
            }),
        };
        let all = [
            told(1, 5, 0, "OLD", 9),
            told(2, 7, 1, "ONE", 1),
            told(1, 4, 0, "NEW", 2),
            told(1, 0, 0, "OLDER", 20),
        ];
        let by_waits = sum(all.iter(), By::Waits);
        let waits: Vec<_> = by_waits
            .iter()
            .map(|one| (one.waits, one.connections))
            .collect();
        assert_eq!(waits, [(9, 3), (7, 1)]);
        let last = by_waits[0]
            .last_error
            .as_ref()
            .map(|failed| failed.code.as_str());
        assert_eq!(last, Some("NEW"));
        assert_eq!(sum(all.iter(), By::Errors).len(), 1, "nobody without any");
    }
}
