//! Shares of the clusters' connection budgets: how many connections each router may have open.
//!
//! The rules are in the database, as functions that the routers' restricted login may call (see the
//! migrations `0010_budget_shares.sql` and `0019_placement.sql`): the sum of all shares of a cluster never rises above its
//! budget, also with those of routers that are dead. A share is freed by its router, which says what it
//! has given back, or after the connections of a dead one were seen gone ([`reap`]).

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{ClusterId, RouterId, Timestamp};

use crate::CatalogError;

/// A renewal of a router's lease, with what it reports of its shares.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// The router.
    pub router: RouterId,
    /// How far it has come in the change log; never goes back.
    pub applied: i64,
    /// How long the lease is to run from now.
    pub ttl: Duration,
    /// The number of this report: one that is overtaken by a later one changes no share.
    pub report: i64,
    /// How many logins the router has under way on one cluster at most.
    pub in_flight: u32,
    /// What it does on the clusters whose shares are to be settled; an empty list: of all clusters. `None`:
    /// only the lease is renewed. With a lease that has ended all are settled, whatever is named.
    pub uses: Option<&'a [Use]>,
}

/// What a router does on one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The cluster.
    pub cluster: ClusterId,
    /// The share that this is about, see [`Share::incarnation`].
    pub incarnation: i64,
    /// What it can still have open while it hears of no other share. More than that is given back.
    pub held: u32,
    /// What it could not do without lately: connections in use, and requests that wait for one.
    pub wanted: u32,
    /// The same, and what it keeps ready.
    pub used: u32,
    /// Connections that are open, for people.
    pub open: u32,
    /// Requests that wait, for people.
    pub waiting: u32,
}

/// A router's share of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The cluster.
    pub cluster: ClusterId,
    /// Another one than before: the share was taken away meanwhile, and its connections with it.
    pub incarnation: i64,
    /// What counts as taken. At most this, and …
    pub slots: u32,
    /// … at most this may be open.
    pub goal: u32,
    /// The whole budget, over all routers; 0: the cluster was removed.
    pub budget: u32,
}

/// Renews a router's lease and settles its shares of the clusters that it names. `None`: it is not
/// registered (any more) and must register. A cluster that is missing in the answer was locked: ask again.
///
/// # Errors
/// When the catalog does not answer, or the lease has ended and a cluster is locked.
pub async fn renew(
    conn: &mut PgConnection,
    renewal: &Renewal<'_>,
) -> Result<Option<Vec<Share>>, CatalogError> {
    let uses = renewal.uses.unwrap_or_default();
    let ints = |of: fn(&Use) -> u32| -> Vec<i32> {
        let counts = uses.iter().map(of);
        counts
            .map(|count| i32::try_from(count).unwrap_or(i32::MAX))
            .collect()
    };
    let clusters = renewal
        .uses
        .map(|uses| uses.iter().map(|one| one.cluster.as_uuid()));
    let clusters: Option<Vec<_>> = clusters.map(Iterator::collect);
    let incarnations: Vec<_> = uses.iter().map(|one| one.incarnation).collect();
    let rows = sqlx::query!(
        r#"SELECT cluster_id AS "cluster_id?", incarnation AS "incarnation?", slots AS "slots?",
                  goal AS "goal?", budget AS "budget?"
           FROM router_renew($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
        renewal.router.as_uuid(),
        renewal.applied,
        renewal.ttl.as_secs_f64(),
        renewal.report,
        i32::try_from(renewal.in_flight).unwrap_or(i32::MAX),
        clusters.as_deref(),
        &incarnations,
        &ints(|one| one.held),
        &ints(|one| one.wanted),
        &ints(|one| one.used),
        &ints(|one| one.open),
        &ints(|one| one.waiting),
    )
    .fetch_all(conn)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let count = |value: Option<i32>| u32::try_from(value.unwrap_or(0)).unwrap_or(0);
    let shares = rows.into_iter().filter_map(|row| {
        Some(Share {
            cluster: row.cluster_id?.into(),
            incarnation: row.incarnation?,
            slots: count(row.slots),
            goal: count(row.goal),
            budget: count(row.budget),
        })
    });
    Ok(Some(shares.collect()))
}

/// A router says goodbye. Its shares are free at once, but for `kept` connections whose end it has not
/// seen: for those it stays in the catalog, without a lease, until they are seen gone.
///
/// # Errors
/// When the catalog does not answer.
pub async fn leave(
    conn: &mut PgConnection,
    router: RouterId,
    kept: &[(ClusterId, u32)],
) -> Result<(), CatalogError> {
    let clusters: Vec<_> = kept.iter().map(|(cluster, _)| cluster.as_uuid()).collect();
    let counts = kept
        .iter()
        .map(|(_, count)| i32::try_from(*count).unwrap_or(i32::MAX));
    let counts: Vec<_> = counts.collect();
    sqlx::query!(
        "SELECT router_leave($1, $2, $3)",
        router.as_uuid(),
        &clusters,
        &counts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The share of a router whose lease has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The cluster.
    pub cluster: ClusterId,
    /// The router.
    pub router: RouterId,
    /// The router's name, for people.
    pub name: String,
    /// What still counts as taken.
    pub slots: u32,
    /// When its lease ended.
    pub lease_until: Timestamp,
    /// How long ago its connections were seen gone and all was freed but what may be in the middle of
    /// a login.
    pub reaped_for: Option<Duration>,
}

/// Shares whose router's lease has ended, by cluster.
///
/// # Errors
/// When the catalog does not answer.
pub async fn orphans(conn: &mut PgConnection) -> Result<Vec<Orphan>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT s.cluster_id, s.router_id, r.name, s.slots, r.lease_until,
                  extract(epoch FROM clock_timestamp() - s.reaped_at)::float8 AS reaped_for
           FROM budget_shares s JOIN routers r ON r.id = s.router_id
           WHERE r.lease_until <= clock_timestamp()
           ORDER BY s.cluster_id, s.router_id"#
    )
    .fetch_all(conn)
    .await?;
    let orphans = rows.into_iter().map(|row| Orphan {
        cluster: row.cluster_id.into(),
        router: row.router_id.into(),
        name: row.name,
        slots: u32::try_from(row.slots).unwrap_or(0),
        lease_until: row.lease_until,
        reaped_for: row
            .reaped_for
            .map(|secs| Duration::from_secs_f64(secs.max(0.0))),
    });
    Ok(orphans.collect())
}

/// Takes a share from a router whose lease has ended. Only after its connections were ended and seen
/// gone: frees all but what may be in the middle of a login; with `last`, the rest. `false`, and
/// nothing happened: the router was back meanwhile.
///
/// # Errors
/// When the catalog does not answer.
pub async fn reap(
    conn: &mut PgConnection,
    orphan: &Orphan,
    last: bool,
) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT budget_reap($1, $2, $3, $4) AS "done!""#,
        orphan.cluster.as_uuid(),
        orphan.router.as_uuid(),
        orphan.lease_until,
        last,
    )
    .fetch_one(conn)
    .await?)
}

/// Sets a cluster's budget and says so to the routers; gives the number of the change. Must be the
/// last statement of its transaction, as [`crate::change_log::append`].
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_budget(
    conn: &mut PgConnection,
    cluster: ClusterId,
    budget: u32,
) -> Result<i64, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT budget_set($1, $2) AS "number!""#,
        cluster.as_uuid(),
        i32::try_from(budget).unwrap_or(i32::MAX),
    )
    .fetch_one(conn)
    .await?)
}

/// What is taken of a cluster's budget, over all routers, as they last said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Connections that are open.
    pub open: u32,
    /// Requests that wait for one.
    pub waiting: u32,
    /// Slots that routers hold, whether a connection is open in them or not; also those of routers
    /// whose lease has ended.
    pub leased: u32,
}

/// What is taken of each cluster's budget.
///
/// # Errors
/// When the catalog does not answer.
pub async fn taken(conn: &mut PgConnection) -> Result<Vec<(ClusterId, Taken)>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT cluster_id, sum(open) AS "open!", sum(waiting) AS "waiting!", sum(slots) AS "leased!"
           FROM budget_shares GROUP BY cluster_id"#
    )
    .fetch_all(conn)
    .await?;
    let count = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    let taken = rows.into_iter().map(|row| {
        let taken = Taken {
            open: count(row.open),
            waiting: count(row.waiting),
            leased: count(row.leased),
        };
        (row.cluster_id.into(), taken)
    });
    Ok(taken.collect())
}
