//! Ends the sessions that keep a statement of ours waiting for a lock.
//!
//! A tenant's login can hold the lock on any database or role for as long as it likes, in
//! transactions that it is allowed to begin: `ALTER ROLE CURRENT_USER IN DATABASE <any> SET …` on a
//! database, `GRANT … TO <any>` on a role. While our statement waits in the lock's queue, a second
//! session of the admin ends those before it. One that comes again stands behind us then.
//!
//! What this must not do: end sessions of the admin login or of a superuser, or any that our
//! statement does not wait for.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::{Admin, AdminConn, ClusterError};

/// How long a statement may take before we look what it waits for. Most are done by then, and an
/// honest transaction that holds a lock for a moment ends by itself.
const GRACE: Duration = Duration::from_millis(250);
/// Between two looks. Each is cheap while the statement works and does not wait.
const PAUSE: Duration = Duration::from_millis(50);
/// Before the next try of a session that could not be opened, or failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Those that the session `$1` waits for and that may be ended, told to end.
///
/// It looks behind sessions that may not be ended, which themselves may wait for a tenant's. It does
/// not look behind a tenant's, as what that one waits for is not in our way once it is ended. No row
/// of `pg_stat_activity`, or no login in it, is a prepared transaction or a worker of the server.
const END: &str = "
    WITH RECURSIVE queue (pid, login, stays) AS (
        SELECT pid, usename::text, true FROM pg_stat_activity
        WHERE pid = $1 AND wait_event_type = 'Lock'
      UNION
        SELECT b.pid, r.rolname::text, coalesce(r.rolsuper OR r.rolname = current_user, true)
        FROM queue q
        CROSS JOIN LATERAL unnest(pg_blocking_pids(q.pid)) AS b (pid)
        LEFT JOIN pg_stat_activity a ON a.pid = b.pid
        LEFT JOIN pg_roles r ON r.oid = a.usesysid
        WHERE q.stays
    )
    SELECT pid, login, pg_terminate_backend(pid) FROM queue WHERE NOT stays";

/// Keeps the way free for what the session `pid` runs, until it is dropped. Failures are logged:
/// the statement then waits as long as its own limits let it.
pub(crate) async fn keep(admin: Admin, application_name: String, pid: i32) -> Infallible {
    let mut told = HashSet::new();
    sleep(GRACE).await;
    loop {
        let Err(error) = watch(&admin, &application_name, pid, &mut told).await;
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot see what a statement on the cluster waits for"
        );
        sleep(AGAIN).await;
    }
}

async fn watch(
    admin: &Admin,
    application_name: &str,
    pid: i32,
    told: &mut HashSet<i32>,
) -> Result<Infallible, ClusterError> {
    // The same name, so that a later driver of the operation ends this session with the other one.
    let mut second = admin.connect(application_name).await?;
    loop {
        for (blocker, login) in end_blockers(&mut second, pid).await? {
            if told.insert(blocker) {
                tracing::warn!(
                    login,
                    "a login kept a statement of ours waiting; its session was ended"
                );
            }
        }
        sleep(PAUSE).await;
    }
}

async fn end_blockers(
    second: &mut AdminConn,
    pid: i32,
) -> Result<Vec<(i32, String)>, ClusterError> {
    let query = sqlx::query_as::<_, (i32, String, bool)>(END);
    let ended = second.all(query.bind(pid)).await?;
    Ok(ended
        .into_iter()
        .map(|(pid, login, _)| (pid, login))
        .collect())
}
