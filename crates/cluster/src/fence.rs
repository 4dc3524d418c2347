//! The fence: a tenant's logins out, at once and for certain.
//!
//! It holds without the help of any router: Postgres itself lets nobody in.

use std::time::Duration;

use tenantry_types::{DbName, RoleName};
use tokio::time::{Instant, sleep};

use crate::{AdminConn, ClusterError, logins};

/// How long [`close`] tries.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a start that may have passed the check for LOGIN is waited for where it stays somewhere that
/// nobody can see into: somebody may connect and then say nothing for as long as `authentication_timeout`.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two looks, at first and at last.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(10);
/// How long NOLOGIN waits for a role's row before the sessions that may hold it are ended.
const ROW_LOCK_MS: u32 = 250;

/// Sessions to end: of the logins, or in the database; not the admin's own, and no superuser's,
/// which a member of `pg_signal_backend` may not touch and which is no tenant's.
const SESSIONS: &str = "FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
     WHERE (r.rolname = ANY ($1) OR a.datname = $2)
       AND r.rolname <> current_user AND NOT r.rolsuper AND a.pid <> pg_backend_pid()
       AND r.rolname <> ALL ($3)";

/// The starts of sessions that go on, and whether each has come as far as the door of the database, or of
/// any where none is named. A session shows in `pg_stat_activity` at the end of its start only, and that is
/// one transaction, begun before the login is checked: its lock on its own number is what shows of it. When
/// the login was checked it takes a lock on the database, in the same transaction.
const STARTS: &str = "WITH locks AS MATERIALIZED (
       SELECT pid, locktype, classid, objid, virtualxid, virtualtransaction
       FROM pg_locks WHERE pid <> pg_backend_pid()
     )
     SELECT own.pid, own.virtualtransaction, EXISTS (
       SELECT FROM locks door
       WHERE door.pid = own.pid AND door.locktype = 'object' AND door.classid = 'pg_database'::regclass
         AND ($1::text IS NULL OR door.objid = (SELECT oid FROM pg_database WHERE datname = $1)))
     FROM locks own
     WHERE own.locktype = 'virtualxid' AND own.virtualxid = own.virtualtransaction";

/// Whom the fence is about.
struct Fenced<'a> {
    logins: Vec<String>,
    /// None: the logins alone, in whatever database they are.
    database: Option<&'a DbName>,
    /// Logins whose sessions may stay.
    spared: Vec<String>,
}

impl Fenced<'_> {
    fn database_name(&self) -> Option<String> {
        self.database.map(DbName::as_str).map(str::to_owned)
    }
}

/// Takes LOGIN from the logins and ends their sessions and all others in the database, until there is
/// none and none is on its way in. Logins that do not exist, and roles that are not
/// ours, are passed over.
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

/// A transaction that may be the start of a session.
#[derive(sqlx::FromRow)]
struct Start {
    pid: i32,
    /// Its number, which no other has while the server runs.
    virtualtransaction: String,
    /// Whether its login was checked.
    #[sqlx(rename = "exists")]
    at_the_door: bool,
}

/// Ends sessions until none is left and none can come any more: the caller has shut the door, and committed.
///
/// Only starts that were under way then can still lead to a session; whoever begins later sees a shut door.
/// Each look therefore reads first which of those are left, and then, in another statement, who is there: a
/// start is over no earlier than its session shows.
async fn until_quiet(
    conn: &mut AdminConn,
    fenced: &Fenced<'_>,
    deadline: Instant,
) -> Result<(), ClusterError> {
    let mut starts: Option<Vec<Start>> = None;
    let mut quiet_since = None;
    let mut pause = SOON;
    loop {
        let mut left = match &starts {
            Some(known) if known.is_empty() => Vec::new(),
            _ => under_way(conn, fenced).await?,
        };
        if let Some(known) = &starts {
            left.retain(|start| {
                let number = &start.virtualtransaction;
                known
                    .iter()
                    .any(|known| known.virtualtransaction == *number)
            });
        }
        let (open, seen) = end_and_see(conn, fenced, &left).await?;
        left.retain(|start| !seen.contains(&start.pid));
        let now = Instant::now();
        let mut count = open;
        if open > 0 {
            quiet_since = None;
        } else {
            let since = *quiet_since.get_or_insert(now);
            let checked = left.iter().filter(|start| start.at_the_door).count();
            // Who keeps its start waiting is not checked yet, and will be refused.
            if left.is_empty() || (checked == 0 && now.duration_since(since) >= PAUSE) {
                return Ok(());
            }
            count = i64::try_from(checked).unwrap_or(i64::MAX);
        }
        if count > 0 && now >= deadline {
            return Err(ClusterError::StillConnected { count });
        }
        starts = Some(left);
        sleep(pause).await;
        pause = (pause * 2).min(LATER);
    }
}

/// The starts that may lead to a session of those who are fenced.
async fn under_way(conn: &mut AdminConn, fenced: &Fenced<'_>) -> Result<Vec<Start>, ClusterError> {
    let query = sqlx::query_as::<_, Start>(STARTS);
    let mut starts = conn.all(query.bind(fenced.database_name())).await?;
    if fenced.logins.is_empty() {
        // The database itself was shut: that is looked at behind its door.
        starts.retain(|start| start.at_the_door);
    }
    Ok(starts)
}

/// Tells all to end; answers how many there were.
async fn end(conn: &mut AdminConn, fenced: &Fenced<'_>) -> Result<i64, ClusterError> {
    Ok(end_and_see(conn, fenced, &[]).await?.0)
}

/// Tells all to end; answers how many there were, and which of the starts show as sessions, of whomever.
async fn end_and_see(
    conn: &mut AdminConn,
    fenced: &Fenced<'_>,
    starts: &[Start],
) -> Result<(i64, Vec<i32>), ClusterError> {
    // From 18 on a start shows as well, but of nobody and in no database.
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE pg_terminate_backend(a.pid)),
                ARRAY(SELECT pid FROM pg_stat_activity
                      WHERE pid = ANY ($4) AND (datid IS NOT NULL OR usesysid IS NOT NULL))
         {SESSIONS}"
    );
    let query = sqlx::query_as::<_, (i64, i64, Vec<i32>)>(sqlx::AssertSqlSafe(sql));
    let query = query
        .bind(fenced.logins.clone())
        .bind(fenced.database_name())
        .bind(fenced.spared.clone())
        .bind(starts.iter().map(|start| start.pid).collect::<Vec<_>>());
    let (open, _, seen) = conn.one(query).await?;
    Ok((open, seen))
}
