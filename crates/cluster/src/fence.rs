//! The fence: a tenant's logins out, at once and for certain.
//!
//! It holds without the help of any router: Postgres itself lets nobody in.

use std::time::Duration;

use tenantry_types::{DbName, RoleName};
use tokio::time::{Instant, sleep};

use crate::{AdminConn, ClusterError, logins};

/// How long [`close`] tries.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks. A session that passed the check for LOGIN before we took it away shows in
/// `pg_stat_activity` only at the end of its start, a few milliseconds later; on a machine that has
/// too much to do, some more. Therefore two looks, and the pause between them.
const PAUSE: Duration = Duration::from_millis(50);
/// How long NOLOGIN waits for a role's row before the sessions that may hold it are ended.
const ROW_LOCK_MS: u32 = 250;

/// Sessions to end: of the logins, or in the database; not the admin's own, and no superuser's,
/// which a member of `pg_signal_backend` may not touch and which is no tenant's.
const SESSIONS: &str = "FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
     WHERE (r.rolname = ANY ($1) OR a.datname = $2)
       AND r.rolname <> current_user AND NOT r.rolsuper AND a.pid <> pg_backend_pid()
       AND r.rolname <> ALL ($3)";

/// Whom the fence is about.
struct Fenced<'a> {
    logins: Vec<String>,
    /// None: the logins alone, in whatever database they are.
    database: Option<&'a DbName>,
    /// Logins whose sessions may stay.
    spared: Vec<String>,
}

/// Takes LOGIN from the logins and ends their sessions and all others in the database, until two
/// looks, one after another, find none. Logins that do not exist, and roles that are not ours, are passed over.
///
/// Gives up after 5 seconds: the logins are locked out then, but something of theirs still runs.
///
/// # Errors
/// [`ClusterError::StillConnected`] when sessions are left at the end; repeat it.
pub async fn close(
    conn: &mut AdminConn,
    database: &DbName,
    logins: &[RoleName],
) -> Result<(), ClusterError> {
    close_within(conn, database, logins, PATIENCE).await
}

/// [`close`] for all logins but one, which goes on, and its sessions in the database with it.
///
/// # Errors
/// As [`close`].
pub async fn close_but(
    conn: &mut AdminConn,
    database: &DbName,
    logins: &[RoleName],
    spared: &RoleName,
) -> Result<(), ClusterError> {
    let fenced = Fenced {
        logins: texts(logins),
        database: Some(database),
        spared: texts(std::slice::from_ref(spared)),
    };
    shut(conn, logins, &fenced, PATIENCE).await
}

/// [`close`] with another patience.
///
/// # Errors
/// As [`close`].
pub async fn close_within(
    conn: &mut AdminConn,
    database: &DbName,
    logins: &[RoleName],
    patience: Duration,
) -> Result<(), ClusterError> {
    let fenced = Fenced {
        logins: texts(logins),
        database: Some(database),
        spared: Vec::new(),
    };
    shut(conn, logins, &fenced, patience).await
}

/// [`close`] for logins alone: whoever else is in the database stays.
///
/// # Errors
/// As [`close`].
pub async fn expel(conn: &mut AdminConn, logins: &[RoleName]) -> Result<(), ClusterError> {
    let fenced = Fenced {
        logins: texts(logins),
        database: None,
        spared: Vec::new(),
    };
    shut(conn, logins, &fenced, PATIENCE).await
}

async fn shut(
    conn: &mut AdminConn,
    logins: &[RoleName],
    fenced: &Fenced<'_>,
    patience: Duration,
) -> Result<(), ClusterError> {
    let deadline = Instant::now() + patience;
    // A role of somebody else's may have the name of a login that is none yet: it is left alone.
    let logins = logins::ours(conn, logins).await?;
    let fenced = &Fenced {
        logins: texts(&logins),
        database: fenced.database,
        spared: fenced.spared.clone(),
    };
    loop {
        match lock_out(conn, &logins, &fenced.logins).await {
            Ok(()) => break,
            // A session of the tenant changed its own role in a transaction that it keeps open
            // (`BEGIN; ALTER ROLE CURRENT_USER …`) and so holds the row that we have to write.
            Err(error) if Instant::now() < deadline && is_held(&error) => {
                end(conn, fenced).await?;
                sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error),
        }
    }
    until_quiet(conn, fenced, deadline).await
}

fn texts(logins: &[RoleName]) -> Vec<String> {
    logins.iter().map(|name| name.as_str().to_owned()).collect()
}

/// Lets the logins in again; those that do not exist, were retired ([`logins::retire`]) or are not ours are passed over.
///
/// # Errors
/// When the cluster refuses.
pub async fn reopen(conn: &mut AdminConn, logins: &[RoleName]) -> Result<(), ClusterError> {
    logins::enable(conn, logins).await
}

/// Ends the sessions in a database that accepts no new ones.
pub(crate) async fn end_sessions_in(
    conn: &mut AdminConn,
    database: &DbName,
) -> Result<(), ClusterError> {
    let fenced = Fenced {
        logins: Vec::new(),
        database: Some(database),
        spared: Vec::new(),
    };
    until_quiet(conn, &fenced, Instant::now() + PATIENCE).await
}

/// NOLOGIN for all, in one transaction, and out with the guests.
///
/// On Postgres 14 a login may make others members of itself (`GRANT me TO them`; 15 ended that), and
/// a member inherits its CONNECT. They would get in again after their sessions were ended.
async fn lock_out(
    conn: &mut AdminConn,
    logins: &[RoleName],
    names: &[String],
) -> Result<(), ClusterError> {
    let query = sqlx::query_as::<_, (String, bool, Vec<String>)>(
        "SELECT r.rolname::text, r.rolcanlogin,
                ARRAY(SELECT quote_ident(m.rolname) FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member
                      WHERE a.roleid = r.oid AND m.rolname <> current_user)
         FROM pg_roles r WHERE r.rolname = ANY ($1)",
    );
    let roles = conn.all(query.bind(names.to_vec())).await?;
    let mut sql = vec![format!("SET LOCAL lock_timeout = {ROW_LOCK_MS}")];
    for login in logins {
        let Some((_, can_login, guests)) = roles.iter().find(|(name, ..)| name == login.as_str())
        else {
            continue;
        };
        if *can_login {
            sql.push(format!("ALTER ROLE {login} NOLOGIN"));
        }
        for guest in guests {
            tracing::warn!(%login, guest, "a login was made a member of a tenant's login");
            sql.push(format!("REVOKE {login} FROM {guest}"));
        }
    }
    if sql.len() == 1 {
        return Ok(());
    }
    conn.run(sql.join(";")).await.map(drop)
}

/// Whether somebody holds, or has just changed, the row we wanted to write.
fn is_held(error: &ClusterError) -> bool {
    match error {
        ClusterError::Unavailable {
            source: Some(source),
            ..
        } => source
            .as_database_error()
            .and_then(|error| error.code())
            .is_some_and(|code| code == "55P03" || code == "40P01"),
        // "tuple concurrently updated"
        ClusterError::Refused { sqlstate, .. } => sqlstate == "XX000",
        _ => false,
    }
}

async fn until_quiet(
    conn: &mut AdminConn,
    fenced: &Fenced<'_>,
    deadline: Instant,
) -> Result<(), ClusterError> {
    let mut quiet = 0;
    loop {
        let open = end(conn, fenced).await?;
        quiet = if open == 0 { quiet + 1 } else { 0 };
        if quiet == 2 {
            return Ok(());
        }
        if open > 0 && Instant::now() >= deadline {
            return Err(ClusterError::StillConnected { count: open });
        }
        // A session that was told to end takes a moment; ask sooner for those than for latecomers.
        sleep(if open > 0 { PAUSE / 5 } else { PAUSE }).await;
    }
}

/// Tells all to end; answers how many there were.
async fn end(conn: &mut AdminConn, fenced: &Fenced<'_>) -> Result<i64, ClusterError> {
    let sql =
        format!("SELECT count(*), count(*) FILTER (WHERE pg_terminate_backend(a.pid)) {SESSIONS}");
    let query = sqlx::query_as::<_, (i64, i64)>(sqlx::AssertSqlSafe(sql));
    let query = query
        .bind(fenced.logins.clone())
        .bind(fenced.database.map(DbName::as_str).map(str::to_owned))
        .bind(fenced.spared.clone());
    let (open, _) = conn.one(query).await?;
    Ok(open)
}
