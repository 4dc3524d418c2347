//! Calls of the setup API that were refused for who asked: a number by address, minute and reason, and
//! never a row each, so that a flood of them is a handful of rows.

use chrono::TimeDelta;
use sqlx::PgConnection;
use tenantry_types::Timestamp;

use crate::CatalogError;

/// How long they are kept.
const KEPT: TimeDelta = TimeDelta::days(30);

/// So many calls of one kind in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The minute's beginning.
    pub minute: Timestamp,
    /// An address, an IPv6 network of /64, or `others`.
    pub address: String,
    /// What was answered.
    pub code: String,
    /// How many.
    pub calls: i64,
}

/// Adds to what was counted, in one statement.
///
/// # Errors
/// When the catalog does not answer.
pub async fn add(conn: &mut PgConnection, denied: &[Denied]) -> Result<(), CatalogError> {
    // In one order, so that two processes do not wait for each other in a circle.
    let mut denied: Vec<&Denied> = denied.iter().collect();
    denied.sort_by(|a, b| (a.minute, &a.address, &a.code).cmp(&(b.minute, &b.address, &b.code)));
    let minutes: Vec<Timestamp> = denied.iter().map(|one| one.minute).collect();
    let addresses: Vec<&str> = denied.iter().map(|one| one.address.as_str()).collect();
    let codes: Vec<&str> = denied.iter().map(|one| one.code.as_str()).collect();
    let calls: Vec<i64> = denied.iter().map(|one| one.calls).collect();
    sqlx::query!(
        "INSERT INTO audit_denied AS d (minute, address, code, calls)
         SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::bigint[])
         ON CONFLICT (minute, address, code) DO UPDATE SET calls = d.calls + excluded.calls",
        &minutes,
        &addresses as &[&str],
        &codes as &[&str],
        &calls,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was counted from then on and before then, the newest minutes first and the most calls first, at
/// most so many.
///
/// # Errors
/// When the catalog does not answer.
pub async fn list(
    conn: &mut PgConnection,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    most: u32,
) -> Result<Vec<Denied>, CatalogError> {
    Ok(sqlx::query_as!(
        Denied,
        "SELECT minute, address, code, calls FROM audit_denied
         WHERE ($1::timestamptz IS NULL OR minute >= $1) AND ($2::timestamptz IS NULL OR minute < $2)
         ORDER BY minute DESC, calls DESC, address, code LIMIT $3",
        since,
        until,
        i64::from(most),
    )
    .fetch_all(conn)
    .await?)
}

/// Removes what is old.
///
/// # Errors
/// When the catalog does not answer.
pub async fn prune(conn: &mut PgConnection, now: Timestamp) -> Result<(), CatalogError> {
    sqlx::query!("DELETE FROM audit_denied WHERE minute < $1", now - KEPT)
        .execute(conn)
        .await?;
    Ok(())
}
