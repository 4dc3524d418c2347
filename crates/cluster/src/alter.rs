//! Statements that change shared catalogs, where other sessions write too.

use std::time::Duration;

use sqlx::postgres::PgRow;

use crate::{AdminConn, ClusterError, clearance};

/// How often a statement is tried that found its database in use (55006), each of which Postgres
/// itself lets wait for 5 seconds, or its row just changed by another session.
const TRIES: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(100);

/// Runs statements on a database or role; again when another session had the row or the database.
/// Whoever else holds its lock is ended, see [`clearance`].
pub(crate) async fn alter(conn: &mut AdminConn, sql: String) -> Result<(), ClusterError> {
    alter_and_ask(conn, sql).await.map(drop)
}

/// As [`alter`], with queries among the statements: what came of these in the same transaction.
pub(crate) async fn alter_and_ask(
    conn: &mut AdminConn,
    sql: String,
) -> Result<Vec<PgRow>, ClusterError> {
    for attempt in 1.. {
        let error = match unhindered(conn, sql.clone()).await {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        // XX000: "tuple concurrently updated", when the row changed while we waited for it.
        let again = matches!(&error, ClusterError::Refused { sqlstate, .. } if sqlstate == "XX000")
            || in_use(&error);
        if !again || attempt >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(BACKOFF * attempt).await;
    }
    Ok(Vec::new())
}

async fn unhindered(conn: &mut AdminConn, sql: String) -> Result<Vec<PgRow>, ClusterError> {
    let pid = conn.pid().await?;
    let clearance = clearance::keep(
        conn.admin().clone(),
        conn.application_name().to_owned(),
        pid,
    );
    tokio::select! {
        biased;
        done = conn.run(sql) => done,
        never = clearance => match never {},
    }
}

/// A name clash as its own variant.
pub(crate) fn taken(error: ClusterError, name: String) -> ClusterError {
    match error {
        ClusterError::Refused { sqlstate, .. }
            if matches!(sqlstate.as_str(), "42P04" | "42710" | "23505") =>
        {
            ClusterError::NameTaken(name)
        }
        other => other,
    }
}

fn in_use(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Unavailable { source: Some(source), .. }
        if source.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "55006"))
}
