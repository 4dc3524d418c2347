//! A router as the control plane tells it: its row in the catalog, and what it tells of itself. The
//! process that answers asks its own router, the others' reports are in the catalog.

use serde::Serialize;
use sqlx::PgConnection;
use tenantry_catalog::routers::{self, ClusterReport, Detail, LastError, Report, TenantTrouble};
use tenantry_catalog::{CatalogError, change_log};
use tenantry_types::{ClusterId, RouterId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::words;

/// A router: a process that hands out connections to tenants' databases.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Router)]
pub(crate) struct View {
    #[schema(value_type = String, format = "uuid")]
    pub(crate) router_id: RouterId,
    /// Its process and address.
    pub(crate) name: String,
    /// Whether it is the one that answers.
    pub(crate) answering: bool,
    #[schema(value_type = words::Timestamp)]
    started_at: Timestamp,
    /// Whether it has renewed its lease. One that has not hands out nothing, and nobody waits for it.
    pub(crate) live: bool,
    /// Until when its lease runs, or when it ended.
    #[schema(value_type = words::Timestamp)]
    lease_until: Timestamp,
    /// The change up to which nothing that was read earlier is used; absent where it did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    applied: Option<i64>,
    /// The change up to which, besides, no connection of before is open.
    pub(crate) acknowledged: i64,
    /// How many changes it has not acknowledged.
    pub(crate) behind_changes: i64,
    /// How old the oldest of them is; absent where there is none, or it was pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) behind_seconds: Option<f64>,
    /// When it told what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    pub(crate) reported_at: Option<Timestamp>,
    /// Tenants whose route it remembers, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tenants: Option<u64>,
    /// The clusters it has met.
    pub(crate) clusters: Vec<OnCluster>,
}

/// A cluster as one router sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RouterOnCluster)]
pub(crate) struct OnCluster {
    #[schema(value_type = words::ClusterId)]
    pub(crate) cluster_id: ClusterId,
    /// Its name, as long as it is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::ClusterName, required = false)]
    pub(crate) name: Option<String>,
    /// Connections being opened, in use, idle or being closed.
    pub(crate) open: u32,
    pub(crate) idle: u32,
    /// In use by requests.
    pub(crate) leased: u32,
    /// Requests that wait for a connection.
    pub(crate) waiting: u32,
    /// How many connections this router may have open.
    pub(crate) share: u32,
    /// Since when no attempt to connect has reached the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    pub(crate) unreachable_since: Option<Timestamp>,
    /// The state of its circuit breaker: `closed` (its server answers), `half_open` (one request looks
    /// whether it is back) or `open` (requests are refused at once).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "closed")]
    pub(crate) breaker: Option<String>,
}

/// What went wrong for a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TenantError)]
pub(crate) struct Failed {
    /// A code as problems have it, or a closer one: `LOGIN_REFUSED`, `WRONG_DATABASE`.
    #[schema(example = "DATABASE_UNAVAILABLE")]
    pub(crate) code: String,
    /// Why, in our words.
    pub(crate) reason: String,
    /// When last.
    #[schema(value_type = words::Timestamp)]
    pub(crate) at: Timestamp,
    /// How often in a row, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) times: Option<u32>,
}

/// A registered router and what it told of itself last.
pub(crate) struct Seen {
    pub(crate) detail: Detail,
    pub(crate) answering: bool,
}

impl Seen {
    pub(crate) fn report(&self) -> Option<&Report> {
        self.detail.report.as_ref().map(|(_, report)| report)
    }

    /// What it told of a tenant.
    pub(crate) fn of(&self, tenant: TenantId) -> Option<&TenantTrouble> {
        let told = &self.report()?.troubled;
        told.iter().find(|one| one.tenant_id == tenant)
    }
}

/// All routers, and the newest change. The answering one is as it is now.
pub(crate) async fn all(
    app: &App,
    conn: &mut PgConnection,
) -> Result<(i64, Vec<Seen>), CatalogError> {
    // Before the routers, so that none seems to be ahead of it.
    let latest = change_log::current(conn).await?;
    let own = app.router.id();
    let details = routers::details(conn).await?.into_iter();
    let all = details.map(|mut detail| {
        let answering = detail.router.id == own;
        if answering {
            detail.report = Some((app.clock.now(), app.router.report()));
        }
        Seen { detail, answering }
    });
    Ok((latest, all.collect()))
}

impl View {
    /// `name_of`: the names of clusters.
    pub(crate) fn new(
        seen: &Seen,
        latest: i64,
        name_of: impl Fn(ClusterId) -> Option<String>,
    ) -> Self {
        let Seen { detail, answering } = seen;
        let report = seen.report();
        let clusters = report.map_or(&[][..], |report| &report.clusters);
        Self {
            router_id: detail.router.id,
            name: detail.router.name.clone(),
            answering: *answering,
            started_at: detail.router.started_at,
            live: detail.router.live,
            lease_until: detail.lease_until,
            applied: report.map(|report| report.applied),
            acknowledged: detail.router.applied,
            behind_changes: (latest - detail.router.applied).max(0),
            behind_seconds: detail.behind_seconds,
            reported_at: detail.report.as_ref().map(|(at, _)| *at),
            tenants: report.map(|report| report.tenants),
            clusters: clusters
                .iter()
                .map(|one| OnCluster::new(one, name_of(one.cluster_id)))
                .collect(),
        }
    }
}

impl OnCluster {
    pub(crate) fn new(report: &ClusterReport, name: Option<String>) -> Self {
        Self {
            cluster_id: report.cluster_id,
            name,
            open: report.open,
            idle: report.idle,
            leased: report.leased,
            waiting: report.waiting,
            share: report.share,
            unreachable_since: report.unreachable_since,
            breaker: report.breaker.clone(),
        }
    }
}

impl From<&LastError> for Failed {
    fn from(error: &LastError) -> Self {
        Self {
            code: error.code.clone(),
            reason: error.reason.clone(),
            at: error.at,
            times: None,
        }
    }
}
