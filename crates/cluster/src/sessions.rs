//! Sessions of the admin login itself.

use std::time::Duration;

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
