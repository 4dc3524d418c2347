//! The change log: every change that a router must learn of, numbered in the order of the commits.
//!
//! The number comes from a row that each writer locks until its transaction ends, so that a reader
//! who saw number N has seen every lower one. A sequence would hand out 7 to a slow transaction
//! and 8 to a quick one; who reads at 8 would then never see 7.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

/// The channel on which a router is told, by its id, that there are slots for it on some cluster. A
/// hint to ask for them now; a notification can be lost.
pub const BUDGET_CHANNEL: &str = "tenantry_budget";

/// The channel that a new number is notified on, with the number as the payload. A hint to read
/// the log now; a notification can be lost.
pub const CHANNEL: &str = "tenantry_changes";

words! {
    /// What happened to a tenant or a cluster, as far as a router is concerned.
    pub enum Kind {
        /// It can be reached for the first time.
        Created = "created",
        /// Its route or what a route carries (name, plan, domains) is another one.
        Updated = "updated",
        /// It may no longer be served: suspended or deleted.
        Fenced = "fenced",
        /// It may be served again.
        Restored = "restored",
        /// It is gone for good.
        Purged = "purged",
        /// Its schema changed, or the way to its cluster: idle connections are not to be used again.
        Migrated = "migrated",
        /// Its connections are to be ended.
        Disconnect = "disconnect",
        /// A cluster's budget, or somebody's share of it, is another one.
        Budget = "budget",
        /// Its router login is another one; the former goes on until its connections came back.
        Rotated = "rotated",
    }
}

/// One row of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number: one more than the row before.
    pub number: i64,
    /// What it is about.
    pub about: About,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A tenant, and what happened to it; never [`Kind::Budget`].
    Tenant(TenantId, Kind),
    /// The shares of a cluster's budget.
    Budget(ClusterId),
}

impl About {
    /// What happened.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Tenant(_, kind) => kind,
            Self::Budget(_) => Kind::Budget,
        }
    }
}

/// Appends a row and tells the routers; gives its number.
///
/// This must be the **last statement of the transaction**: it holds the counter's lock until the
/// commit, and every other writer waits for it (NOTIFY, too, takes a lock of the whole server when
/// it commits).
///
/// Rows about a cluster ([`Kind::Budget`]) are appended by the functions that change shares.
///
/// # Errors
/// When the catalog does not answer.
pub async fn append(
    conn: &mut PgConnection,
    tenant: TenantId,
    kind: Kind,
) -> Result<i64, CatalogError> {
    let row = sqlx::query!(
        r#"WITH next AS (UPDATE change_counter SET value = value + 1 RETURNING value),
             appended AS (
               INSERT INTO changes (number, tenant_id, kind)
               SELECT value, $1, $2 FROM next RETURNING number
             )
           SELECT number AS "number!", pg_notify('tenantry_changes', number::text) FROM appended"#,
        tenant.as_uuid(),
        kind.as_str(),
    )
    .fetch_one(conn)
    .await?;
    Ok(row.number)
}

/// Appends a row for each tenant of a cluster: the way to all of them is another one. Connections over the
/// former are not used again, and those in use end with their requests.
///
/// As for [`append`], the last statement of the transaction. It is as long as there are tenants, and nobody
/// else's change comes in between.
///
/// # Errors
/// When the catalog does not answer.
pub async fn append_for_cluster(
    conn: &mut PgConnection,
    cluster: ClusterId,
) -> Result<(), CatalogError> {
    sqlx::query!(
        r#"WITH moved AS (
             SELECT id, row_number() OVER (ORDER BY id) AS nth FROM tenants WHERE cluster_id = $1
           ),
           next AS (
             UPDATE change_counter SET value = value + (SELECT count(*) FROM moved)
             RETURNING value, value - (SELECT count(*) FROM moved) AS before
           ),
           appended AS (
             INSERT INTO changes (number, tenant_id, kind)
             SELECT next.before + moved.nth, moved.id, $2 FROM moved, next
           )
           SELECT pg_notify('tenantry_changes', value::text) FROM next"#,
        cluster.as_uuid(),
        Kind::Migrated.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The rows after a number, in order, at most `limit`.
///
/// The newest row is never pruned. So a reader that is behind always gets a row, and when the first
/// one is not `number + 1` those in between were pruned: it must forget everything it remembers.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn after(
    conn: &mut PgConnection,
    number: i64,
    limit: u32,
) -> Result<Vec<Change>, CatalogError> {
    sqlx::query_as!(
        ChangeRow,
        "SELECT number, tenant_id, cluster_id, kind FROM changes WHERE number > $1
         ORDER BY number LIMIT $2",
        number,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(ChangeRow::decode)
    .collect()
}

/// The number of the newest row; 0 when nothing was ever appended.
///
/// # Errors
/// When the catalog does not answer.
pub async fn current(conn: &mut PgConnection) -> Result<i64, CatalogError> {
    Ok(sqlx::query_scalar!("SELECT value FROM change_counter")
        .fetch_one(conn)
        .await?)
}

/// The newest row about a tenant, as long as it was not pruned, and when it was written.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn last_of(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<(Change, Timestamp)>, CatalogError> {
    // From the newest row backwards. The log is short: rows are pruned after minutes.
    let row = sqlx::query!(
        "SELECT number, tenant_id, cluster_id, kind, at FROM changes WHERE tenant_id = $1
         ORDER BY number DESC LIMIT 1",
        tenant.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let change = ChangeRow {
            number: row.number,
            tenant_id: row.tenant_id,
            cluster_id: row.cluster_id,
            kind: row.kind,
        };
        Ok((change.decode()?, row.at))
    })
    .transpose()
}

/// The number of the oldest row that was not pruned.
///
/// # Errors
/// When the catalog does not answer.
pub async fn oldest(conn: &mut PgConnection) -> Result<Option<i64>, CatalogError> {
    Ok(sqlx::query_scalar!("SELECT min(number) FROM changes")
        .fetch_one(conn)
        .await?)
}

/// Removes rows that every live router has applied and that are older than ten minutes, but never
/// the newest row; says how many.
///
/// # Errors
/// When the catalog does not answer.
pub async fn prune(conn: &mut PgConnection) -> Result<u64, CatalogError> {
    let done = sqlx::query!(
        "DELETE FROM changes
         WHERE at < clock_timestamp() - interval '10 minutes'
           AND number < (SELECT value FROM change_counter)
           AND number <= ALL (SELECT applied FROM routers WHERE lease_until > clock_timestamp())"
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

struct ChangeRow {
    number: i64,
    tenant_id: Option<Uuid>,
    cluster_id: Option<Uuid>,
    kind: String,
}

impl ChangeRow {
    fn decode(self) -> Result<Change, CatalogError> {
        let row = Row::of("changes", self.number);
        let about = match row.column("kind", self.kind.parse())? {
            Kind::Budget => About::Budget(row.present("cluster_id", self.cluster_id)?.into()),
            kind => About::Tenant(row.present("tenant_id", self.tenant_id)?.into(), kind),
        };
        Ok(Change {
            number: self.number,
            about,
        })
    }
}
