//! What a router tells of itself beside its lease, for the eyes of operators.
//!
//! Nothing is decided by a report. One that is missing, or that another version wrote in other words,
//! is shown as absent; its size is bounded by who makes it.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use tenantry_types::{ClusterId, RouterId, TenantId, Timestamp};

use super::Router;
use crate::CatalogError;

/// A router as it sees itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// The change up to which it uses nothing older; what it acknowledged is in its row.
    pub applied: i64,
    /// Tenants whose route it remembers, about.
    pub tenants: u64,
    /// The clusters it has met.
    pub clusters: Vec<ClusterReport>,
    /// Tenants that wait or fail most.
    pub troubled: Vec<TenantTrouble>,
    /// The ids of the keys that it opens passwords with; none from an older router.
    pub route_keys: Option<Vec<String>>,
}

/// One cluster as a router sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReport {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Slots taken: connections being opened, leased, idle or being closed.
    pub open: u32,
    /// Connections that wait for a request.
    pub idle: u32,
    /// Connections in use.
    pub leased: u32,
    /// Requests that wait for a connection.
    pub waiting: u32,
    /// How many this router may have open.
    pub share: u32,
    /// Since when no attempt to connect has reached its server; none while they do.
    #[serde(default)]
    pub unreachable_since: Option<Timestamp>,
    /// The state of its circuit breaker: `closed`, `half_open` or `open`; none from an older router.
    #[serde(default)]
    pub breaker: Option<String>,
}

/// A tenant that had trouble lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantTrouble {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Connections that it has open.
    #[serde(default)]
    pub connections: u64,
    /// Requests that had to wait for a connection lately, at least.
    pub waits: u64,
    /// Requests that got none lately, at least.
    pub errors: u64,
    /// What went wrong last.
    #[serde(default)]
    pub last: Option<LastError>,
}

/// The last thing that went wrong for a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// The code that its requests were answered with.
    pub code: String,
    /// Why, in words that hold nothing a server or a tenant wrote.
    pub reason: String,
}

/// Replaces a router's report. `false`: it is not registered.
///
/// # Errors
/// When the catalog does not answer.
pub async fn report(
    conn: &mut PgConnection,
    id: RouterId,
    report: &Report,
) -> Result<bool, CatalogError> {
    let told = sqlx::query_scalar!(
        r#"SELECT router_report($1, $2) AS "told!""#,
        id.as_uuid(),
        Json(report) as _,
    )
    .fetch_one(conn)
    .await?;
    Ok(told)
}

/// A router with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// The router; `applied` is what it acknowledged.
    pub router: Router,
    /// Until when its lease runs, or when it ended.
    pub lease_until: Timestamp,
    /// How many seconds ago the oldest change was made that it has not acknowledged; none: it has
    /// acknowledged all, or those it lacks were pruned.
    pub behind_seconds: Option<f64>,
    /// What it told of itself last, and when.
    pub report: Option<(Timestamp, Report)>,
}

/// All registered routers with what they told of themselves.
///
/// # Errors
/// When the catalog does not answer.
pub async fn details(conn: &mut PgConnection) -> Result<Vec<Detail>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT r.id, r.name, r.applied, r.lease_until > clock_timestamp() AS "live!",
                  r.started_at, r.lease_until, r.report, r.reported_at,
                  extract(epoch FROM clock_timestamp() -
                      (SELECT c.at FROM changes c WHERE c.number > r.applied
                       ORDER BY c.number LIMIT 1))::float8 AS "behind?"
           FROM routers r ORDER BY r.id"#
    )
    .fetch_all(conn)
    .await?;
    let details = rows.into_iter().map(|row| Detail {
        router: Router {
            id: row.id.into(),
            name: row.name,
            applied: row.applied,
            live: row.live,
            started_at: row.started_at,
        },
        lease_until: row.lease_until,
        behind_seconds: row.behind.map(|behind: f64| behind.max(0.0)),
        // Another version's words are no words.
        report: row.reported_at.zip(
            row.report
                .and_then(|report| serde_json::from_value(report).ok()),
        ),
    });
    Ok(details.collect())
}
