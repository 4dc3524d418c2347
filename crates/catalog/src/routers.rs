//! Routers that are alive, and how far each has come in the change log.
//!
//! A lease is set and judged by the database's clock. The router itself counts the same length on
//! its own monotonic clock from before it asked, so that its lease always ends first over there.
//! It is renewed together with the router's shares: [`crate::shares`].
//!
//! A router's login may not read or write the table: what routers do here are calls of functions that
//! touch the row of the login's own router (`migrations-central/0012_router_functions.sql`).

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{RouterId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;

mod report;

pub use report::{ClusterReport, Detail, LastError, Report, TenantTrouble, details, report};

/// One router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Its id, a new one for each start.
    pub id: RouterId,
    /// Its name, for people.
    pub name: String,
    /// The number up to which it has done all that the change log says.
    pub applied: i64,
    /// Whether its lease still runs.
    pub live: bool,
    /// When it registered.
    pub started_at: Timestamp,
}

/// Registers a router, which has applied everything up to `applied`, with a lease of `ttl`. From then on
/// it is this login's: no other can renew it, report for it or take it out.
///
/// # Errors
/// When the catalog does not answer, or the id is another login's router.
pub async fn register(
    conn: &mut PgConnection,
    id: RouterId,
    name: &str,
    applied: i64,
    ttl: Duration,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "SELECT router_register($1, $2, $3, $4)",
        id.as_uuid(),
        name,
        applied,
        ttl.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The live routers that have not applied everything up to `number`.
///
/// # Errors
/// When the catalog does not answer.
pub async fn behind(conn: &mut PgConnection, number: i64) -> Result<Vec<RouterId>, CatalogError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM routers WHERE lease_until > clock_timestamp() AND applied < $1 ORDER BY id",
        number,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(RouterId::from_uuid).collect())
}

/// The routers whose lease is running.
///
/// # Errors
/// When the catalog does not answer.
pub async fn live(conn: &mut PgConnection) -> Result<Vec<RouterId>, CatalogError> {
    let ids = sqlx::query_scalar!("SELECT id FROM routers WHERE lease_until > clock_timestamp()")
        .fetch_all(conn)
        .await?;
    Ok(ids.into_iter().map(RouterId::from_uuid).collect())
}

/// All routers that are registered, also those whose lease has ended.
///
/// # Errors
/// When the catalog does not answer.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Router>, CatalogError> {
    let rows = sqlx::query_as!(
        RouterRow,
        r#"SELECT id, name, applied, lease_until > clock_timestamp() AS "live!", started_at
           FROM routers ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Router::from).collect())
}

/// A router and since when it lacks a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The router.
    pub router: Router,
    /// When the oldest change was made that it has not applied; none: it has applied all, or the
    /// change was pruned.
    pub behind_since: Option<Timestamp>,
}

/// All routers that are registered, with how long they have been behind.
///
/// # Errors
/// When the catalog does not answer.
pub async fn standing(conn: &mut PgConnection) -> Result<Vec<Standing>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT r.id, r.name, r.applied, r.lease_until > clock_timestamp() AS "live!",
                  r.started_at,
                  (SELECT c.at FROM changes c WHERE c.number = r.applied + 1) AS "behind_since?"
           FROM routers r ORDER BY r.id"#
    )
    .fetch_all(conn)
    .await?;
    let standing = rows.into_iter().map(|row| Standing {
        router: Router {
            id: row.id.into(),
            name: row.name,
            applied: row.applied,
            live: row.live,
            started_at: row.started_at,
        },
        behind_since: row.behind_since,
    });
    Ok(standing.collect())
}

/// Removes routers whose lease ended more than a day ago: they were killed and never came back.
/// One whose connections were not seen gone yet stays. Says how many.
///
/// # Errors
/// When the catalog does not answer.
pub async fn prune(conn: &mut PgConnection) -> Result<u64, CatalogError> {
    let done = sqlx::query!(
        "DELETE FROM routers r
         WHERE r.lease_until < clock_timestamp() - interval '1 day'
           AND NOT EXISTS (SELECT FROM budget_shares s WHERE s.router_id = r.id)"
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

struct RouterRow {
    id: Uuid,
    name: String,
    applied: i64,
    live: bool,
    started_at: Timestamp,
}

impl From<RouterRow> for Router {
    fn from(row: RouterRow) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            applied: row.applied,
            live: row.live,
            started_at: row.started_at,
        }
    }
}
