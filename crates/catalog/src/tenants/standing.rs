//! How many tenants there are in which state, at any number of tenants within milliseconds.
//!
//! A state is counted row by row, through its index, up to [`COUNTED`]. What is more common than
//! that is taken from the planner's statistics instead, and marked as an estimate.

use sqlx::PgConnection;

use super::Status;
use crate::CatalogError;
use crate::count::Count;

/// Up to here a state is counted exactly.
pub const COUNTED: u32 = 100_000;

/// How many tenants are in each state, in the order of [`Status::ALL`].
///
/// # Errors
/// When the catalog does not answer.
pub async fn by_status(conn: &mut PgConnection) -> Result<Vec<(Status, Count)>, CatalogError> {
    by_status_up_to(conn, COUNTED).await
}

/// As [`by_status`], counting up to another number.
///
/// # Errors
/// As [`by_status`].
pub async fn by_status_up_to(
    conn: &mut PgConnection,
    counted: u32,
) -> Result<Vec<(Status, Count)>, CatalogError> {
    let words: Vec<String> = Status::ALL.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        r#"SELECT s.status AS "status!",
                  (SELECT count(*) FROM (SELECT FROM tenants t WHERE t.status = s.status LIMIT $2) found)
                  AS "count!",
                  (SELECT c.reltuples::float8 * m.frequency
                   FROM pg_class c
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                   JOIN pg_stats p ON p.schemaname = n.nspname AND p.tablename = c.relname
                   CROSS JOIN unnest(p.most_common_vals::text::text[], p.most_common_freqs)
                        AS m (word, frequency)
                   WHERE c.oid = 'tenants'::regclass AND p.attname = 'status' AND NOT p.inherited
                     AND m.word = s.status) AS "estimate?"
           FROM unnest($1::text[]) WITH ORDINALITY AS s (status, position) ORDER BY s.position"#,
        &words,
        i64::from(counted) + 1,
    )
    .fetch_all(conn)
    .await?;
    let counts = rows.into_iter().zip(Status::ALL);
    Ok(counts
        .map(|(row, status)| (*status, Count::within(row.count, counted, row.estimate)))
        .collect())
}

/// How many deleted tenants should have been purged more than an hour ago.
///
/// # Errors
/// When the catalog does not answer.
pub async fn overdue_for_purge(conn: &mut PgConnection) -> Result<Count, CatalogError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT FROM tenants WHERE purge_at < clock_timestamp() - interval '1 hour' LIMIT $1
           ) found"#,
        i64::from(Count::ENOUGH) + 1,
    )
    .fetch_one(conn)
    .await?;
    Ok(Count::within(count, Count::ENOUGH, None))
}
