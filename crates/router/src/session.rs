//! Statements about the session itself: whether it is idle, ending it.
//!
//! The only SQL of this crate. Nothing here touches a table; every function is named with its
//! schema, because the session's `search_path` belongs to the tenant.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tenantry_types::RoleName;

use crate::connect::POOLED;
use crate::pools::Backend;

/// Reads what is outstanding, lets a queued rollback happen, and says whether the session is then
/// outside of any transaction. One round trip.
///
/// `begin_with` refuses a statement after which the server reports no open transaction, so the
/// refusal of one that begins none means idle; sqlx has no other way to its view of the server's
/// state, which also knows a `BEGIN` that was sent as plain text. It must be a real statement: a
/// failed transaction would let an empty one pass, and sqlx counts that state as no transaction.
pub(crate) async fn is_idle(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match conn.begin_with("SELECT 1").await {
        Err(sqlx::Error::BeginFailed) => Ok(true),
        Ok(open) => {
            drop(open);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives a session that was opened for something else the name and the settings of a pooled one.
pub(crate) async fn make_pooled(conn: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let settings = POOLED.into_iter().chain([("application_name", name)]);
    let (names, values): (Vec<&str>, Vec<&str>) = settings.unzip();
    sqlx::query(
        "SELECT pg_catalog.set_config(s.name, s.value, false)
         FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]))
              AS s (name, value)",
    )
    .bind(names)
    .bind(values)
    .persistent(false)
    .execute(conn)
    .await?;
    Ok(())
}

/// Has the session end itself and waits until the server has closed its end, which it does last of
/// all (`socket_close` in PostgreSQL's pqcomm.c leaves the socket to the end of the process for
/// exactly this).
///
/// A `Terminate` message would be quieter in the server's log; but sqlx closes the socket right
/// after sending it, and then nobody sees when the server is done.
pub(crate) async fn end(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let _ = conn
        .execute("SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())")
        .await;
    closed(conn).await
}

/// As [`end`], for a session that may be inside a transaction, failed or not.
pub(crate) async fn abort(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    if conn.execute("ROLLBACK").await.is_err() {
        return closed(conn).await;
    }
    end(conn).await
}

/// Reads until the server has closed its end.
pub(crate) async fn closed(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    loop {
        match conn.ping().await {
            Err(sqlx::Error::Io(_)) => return Ok(()),
            // The server's last word before it closes, or the end of what was outstanding.
            Err(sqlx::Error::Database(_)) => {}
            Ok(()) => {
                return Err(sqlx::Error::Protocol(
                    "the session answers instead of ending".into(),
                ));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Ends another session of the same login and waits up to a second until it is gone.
///
/// A process id can be used again; login and application name keep a stranger out of it.
pub(crate) async fn terminate(
    conn: &mut PgConnection,
    backend: Backend,
    application_name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT pg_catalog.pg_terminate_backend(pid, 1000) FROM pg_catalog.pg_stat_activity
         WHERE pid = $1 AND usename = session_user AND application_name = $2",
    )
    .bind(backend.pid)
    .bind(application_name)
    .persistent(false)
    .execute(conn)
    .await?;
    Ok(())
}

/// The other sessions of the same login: process id and `application_name`.
pub(crate) async fn others(conn: &mut PgConnection) -> Result<Vec<(i32, String)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT pid, coalesce(application_name, '') FROM pg_catalog.pg_stat_activity
         WHERE usename = session_user AND pid <> pg_catalog.pg_backend_pid()
           AND backend_type = 'client backend'",
    )
    .persistent(false)
    .fetch_all(conn)
    .await
}

/// Which login each of these processes serves; those that are no more are missing. Every login sees that
/// of every session.
pub(crate) async fn serving(
    conn: &mut PgConnection,
    pids: &[i32],
) -> Result<HashMap<i32, RoleName>, sqlx::Error> {
    let found: Vec<(i32, String)> = sqlx::query_as(
        "SELECT pid, usename::pg_catalog.text FROM pg_catalog.pg_stat_activity
         WHERE pid = ANY ($1) AND usename IS NOT NULL",
    )
    .bind(pids)
    .persistent(false)
    .fetch_all(conn)
    .await?;
    let found = found.into_iter();
    Ok(found
        .filter_map(|(pid, login)| Some((pid, RoleName::parse(login).ok()?)))
        .collect())
}

/// Ends other sessions of the same login that began before they were given up, each so long ago, and waits
/// up to a second for each. Gives those that are still there.
pub(crate) async fn end_older(
    conn: &mut PgConnection,
    backends: &[(Backend, Duration)],
) -> Result<Vec<i32>, sqlx::Error> {
    let (pids, ages): (Vec<i32>, Vec<f64>) = backends
        .iter()
        .map(|(backend, age)| (backend.pid, age.as_secs_f64()))
        .unzip();
    let ended: Vec<(i32, bool)> = sqlx::query_as(
        "SELECT a.pid, pg_catalog.pg_terminate_backend(a.pid, 1000)
         FROM pg_catalog.pg_stat_activity a,
              ROWS FROM (pg_catalog.unnest($1::pg_catalog.int4[]), pg_catalog.unnest($2::pg_catalog.float8[]))
              AS given (pid, age)
         WHERE a.pid = given.pid AND a.usename = session_user
           AND a.backend_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => given.age)",
    )
    .bind(pids)
    .bind(ages)
    .persistent(false)
    .fetch_all(conn)
    .await?;
    let still = ended.into_iter().filter(|(_, gone)| !gone);
    Ok(still.map(|(pid, _)| pid).collect())
}

/// Ends another session of the same login, if it still has the name, and waits up to a second until
/// it is gone.
pub(crate) async fn end_other(
    conn: &mut PgConnection,
    pid: i32,
    application_name: &str,
) -> Result<(), sqlx::Error> {
    terminate(conn, Backend { pid }, application_name).await
}
