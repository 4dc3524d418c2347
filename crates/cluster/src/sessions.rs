//! Sessions of the admin login itself, and whose sessions there are.

use std::time::Duration;

use tenantry_types::RoleName;
use tokio::time::{Instant, sleep};

use crate::{AdminConn, ClusterError};

/// How long a session that was told to end may take. `CREATE DATABASE` and `DROP DATABASE` look for
/// the signal often enough.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends the other admin sessions whose `application_name` begins with `prefix`, except those named
/// `keep`, and waits until they are gone. Answers how many there were.
///
/// A driver that takes over an operation does this first: the session of the one before, which may
/// only sleep, then changes nothing any more. Only sessions of the same login count, so that a
/// tenant that takes such a name is not meant.
///
/// # Errors
/// [`ClusterError::StillConnected`] when they are not gone after 5 seconds.
pub async fn terminate_by_application(
    conn: &mut AdminConn,
    prefix: &str,
    keep: &str,
) -> Result<u64, ClusterError> {
    let deadline = Instant::now() + PATIENCE;
    let mut ended = 0;
    loop {
        let query = sqlx::query_as::<_, (i64, i64)>(
            "SELECT count(*), count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE usename = current_user AND pid <> pg_backend_pid()
               AND starts_with(application_name, $1) AND application_name <> $2",
        );
        let (open, _) = conn.one(query.bind(prefix).bind(keep)).await?;
        if open == 0 {
            return Ok(ended);
        }
        ended = ended.max(open.unsigned_abs());
        if Instant::now() >= deadline {
            return Err(ClusterError::StillConnected { count: open });
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// The sessions there are now, by process id and login, save the admin's own and superusers'. One in the
/// middle of its login does not show.
///
/// # Errors
/// When the cluster does not answer.
pub async fn all(conn: &mut AdminConn) -> Result<Vec<(i32, String)>, ClusterError> {
    // `usesysid` is what everybody may see of others' sessions.
    conn.all(sqlx::query_as::<_, (i32, String)>(
        "SELECT a.pid, r.rolname::text FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
         WHERE NOT r.rolsuper AND r.rolname <> current_user ORDER BY 2, 1",
    ))
    .await
}

/// Ends all sessions of a login that lets nobody in any more.
///
/// # Errors
/// When the cluster does not answer.
pub async fn terminate_of(conn: &mut AdminConn, login: &RoleName) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) FROM pg_stat_activity a
         JOIN pg_roles r ON r.oid = a.usesysid WHERE r.rolname = $1 AND NOT r.rolsuper",
    );
    conn.one(query.bind(login.as_str().to_owned())).await?;
    Ok(())
}

/// How long a login may take on this server until it shows as a session or is given up. The server
/// allows `authentication_timeout` twice: for the startup packet, and for the authentication.
///
/// # Errors
/// When the cluster does not answer.
pub async fn login_time(conn: &mut AdminConn) -> Result<Duration, ClusterError> {
    let (seconds,) = conn
        .one(sqlx::query_as::<_, (i64,)>(
            "SELECT 2 * setting::bigint FROM pg_settings WHERE name = 'authentication_timeout'",
        ))
        .await?;
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}
