//! The pause of all background work, and the processes that do such work.
//!
//! A process tells every moment what it is in the middle of, and hears in the same statement whether there is
//! a pause. Who has heard of a pause begins nothing; so a pause is in force when every process with a lease has
//! heard of it and is in the middle of nothing. The leases are set and judged by the database's clock, as
//! those of routers are.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::Timestamp;
use uuid::Uuid;

use crate::CatalogError;

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Tells it from any other.
    pub number: i64,
    /// Who asked for it.
    pub asked_by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A process that does background work, and has a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// What it is called.
    pub name: String,
    /// The pause that it has heard of.
    pub heard: Option<i64>,
    /// What it is in the middle of.
    pub at_work: Vec<String>,
}

/// The pause there is.
///
/// # Errors
/// When the catalog does not answer.
pub async fn get(conn: &mut PgConnection) -> Result<Option<Pause>, CatalogError> {
    Ok(
        sqlx::query_as!(Pause, "SELECT number, asked_by, reason, since FROM pause")
            .fetch_optional(conn)
            .await?,
    )
}

/// Begins a pause. `None`: there is one, and it stays as it is.
///
/// # Errors
/// When the catalog does not answer.
pub async fn begin(
    conn: &mut PgConnection,
    asked_by: &str,
    reason: &str,
) -> Result<Option<Pause>, CatalogError> {
    Ok(sqlx::query_as!(
        Pause,
        "INSERT INTO pause (asked_by, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING
         RETURNING number, asked_by, reason, since",
        asked_by,
        reason,
    )
    .fetch_optional(conn)
    .await?)
}

/// Ends the pause, and gives it. `None`: there was none.
///
/// # Errors
/// When the catalog does not answer.
pub async fn end(conn: &mut PgConnection) -> Result<Option<Pause>, CatalogError> {
    Ok(sqlx::query_as!(
        Pause,
        "DELETE FROM pause RETURNING number, asked_by, reason, since"
    )
    .fetch_optional(conn)
    .await?)
}

/// Renews a process's lease, or registers it, with what it has heard of and is in the middle of; tells the pause
/// there is. Does not wait for the disk: who is told after a crash is told again at the next moment.
///
/// # Errors
/// When the catalog does not answer.
pub async fn tell(
    conn: &mut PgConnection,
    id: Uuid,
    worker: &Worker,
    ttl: Duration,
) -> Result<Option<Pause>, CatalogError> {
    let row = sqlx::query!(
        r#"WITH told AS (
             INSERT INTO workers AS w (id, name, lease_until, heard, at_work)
             SELECT $1, $2, clock_timestamp() + make_interval(secs => $3), $4, $5
             WHERE set_config('synchronous_commit', 'off', true) = 'off'
             ON CONFLICT (id) DO UPDATE
             SET lease_until = excluded.lease_until, heard = excluded.heard, at_work = excluded.at_work
             RETURNING id
           )
           SELECT p.number AS "number?", p.asked_by AS "asked_by?", p.reason AS "reason?", p.since AS "since?"
           FROM told LEFT JOIN pause p ON true"#,
        id,
        worker.name,
        ttl.as_secs_f64(),
        worker.heard,
        &worker.at_work,
    )
    .fetch_one(conn)
    .await?;
    Ok(match (row.number, row.asked_by, row.reason, row.since) {
        (Some(number), Some(asked_by), Some(reason), Some(since)) => Some(Pause {
            number,
            asked_by,
            reason,
            since,
        }),
        _ => None,
    })
}

/// The processes whose lease runs.
///
/// # Errors
/// When the catalog does not answer.
pub async fn workers(conn: &mut PgConnection) -> Result<Vec<Worker>, CatalogError> {
    Ok(sqlx::query_as!(
        Worker,
        "SELECT name, heard, at_work FROM workers WHERE lease_until > clock_timestamp() ORDER BY name, id"
    )
    .fetch_all(conn)
    .await?)
}

/// Takes a process out that has ended, and those that died long ago.
///
/// # Errors
/// When the catalog does not answer.
pub async fn leave(conn: &mut PgConnection, id: Uuid) -> Result<(), CatalogError> {
    sqlx::query!(
        "DELETE FROM workers WHERE id = $1 OR lease_until < clock_timestamp() - interval '1 day'",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
