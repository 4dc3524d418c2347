//! Databases: clone, mark, wall off, open, rename, drop.
//!
//! A database stays owned by the admin login, so that no tenant's login can grant CONNECT, change
//! its limits or forge its comment. The ACL of a database and its settings are not cloned with it
//! (they live in shared catalogs), so each clone is walled off anew.

mod access;
mod complete;
mod proof;
mod rename;

pub use access::{
    admit, close, grant_connect, grant_owner_create, open, prepare, revoke_connect, revoke_public,
};
pub use complete::complete;
pub use rename::{rename, rename_with_logins};
use tenantry_types::{DbName, InstallationId};

pub(crate) use self::access::{connect, prepare_open};
use self::proof::{missing, ours, state};
use crate::alter::alter;
use crate::fence::end_sessions_in;
use crate::{AdminConn, ClusterError, Mark};

/// One of our databases as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its mark.
    pub mark: Mark,
    /// Whether it accepts connections.
    pub open: bool,
    /// Whether everybody may connect to it or make temporary tables in it: a hole in the wall.
    pub public: bool,
}

/// Clones `template` into a database that accepts no connections, and marks it.
///
/// # Errors
/// As [`clone_closed`].
pub async fn create_closed(
    conn: &mut AdminConn,
    name: &DbName,
    template: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    if made(conn, name, template, mark).await? {
        // Nobody else's, whatever its name.
        return alter(conn, comment(name, mark)).await;
    }
    self::mark(conn, name, mark).await
}

/// Clones `template` into a database that accepts no connections. [`complete()`] marks it with all else
/// that it needs.
///
/// Name it [`crate::names::spare`] or [`crate::names::template`]: an unmarked database of another name is never
/// taken for our own unfinished one.
///
/// # Errors
/// [`ClusterError::NotOurs`] when a database of this name exists that is not the one of this mark;
/// [`ClusterError::Unavailable`] when the template stays in use.
pub async fn clone_closed(
    conn: &mut AdminConn,
    name: &DbName,
    template: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    made(conn, name, template, mark).await.map(drop)
}

/// Clones, and answers whether it had to: otherwise the database is there, and ours.
async fn made(
    conn: &mut AdminConn,
    name: &DbName,
    template: &DbName,
    mark: &Mark,
) -> Result<bool, ClusterError> {
    // Mostly there is none; a look before would be a round trip for nothing.
    if clone(conn, name, template).await? {
        return Ok(true);
    }
    match state(conn, name).await? {
        Some(found) if !found.is_ours(name, mark) => Err(ClusterError::NotOurs(name.to_string())),
        Some(found) if found.torn => {
            alter(conn, format!("DROP DATABASE IF EXISTS {name}")).await?;
            clone(conn, name, template).await
        }
        Some(_) => Ok(false),
        None => Err(missing(name)),
    }
}

/// Writes the mark, where the database is [`create_closed`]'s.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it carries another comment.
pub async fn mark(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<(), ClusterError> {
    if ours(conn, name, mark).await?.mark().is_some() {
        return Ok(());
    }
    alter(conn, comment(name, mark)).await
}

/// Writes the mark once more and waits until it, and with it all that relaxed sessions
/// ([`crate::Admin::relaxed`]) did on this server before, is on disk.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it carries another comment.
pub async fn settle(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<(), ClusterError> {
    ours(conn, name, mark).await?;
    conn.wait_for_disk().await?;
    alter(conn, comment(name, mark)).await
}

/// The mark of a database; none if there is no such database or it has none.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn mark_of(conn: &mut AdminConn, name: &DbName) -> Result<Option<Mark>, ClusterError> {
    Ok(state(conn, name).await?.and_then(|found| found.mark()))
}

/// Whether a database of this name exists.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn exists(conn: &mut AdminConn, name: &DbName) -> Result<bool, ClusterError> {
    Ok(state(conn, name).await?.is_some())
}

/// Drops a database with everything in it and ends the sessions in it. Answers whether there was one.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it is not the one of this mark: nothing is dropped that cannot be
/// proven to be ours.
pub async fn drop_forced(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<bool, ClusterError> {
    let Some(found) = state(conn, name).await? else {
        return Ok(false);
    };
    if !found.is_ours(name, mark) {
        return Err(ClusterError::NotOurs(name.to_string()));
    }
    // WITH (FORCE) alone loses against a client that connects again at once (55006): the door first.
    if !found.torn {
        close(conn, name).await?;
        end_sessions_in(conn, name).await?;
    }
    alter(conn, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    Ok(true)
}

/// All databases that carry a mark of this installation, by name.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn list(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Vec<Found>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String, bool, bool)>(
        "SELECT d.datname::text, s.description, d.datallowconn,
                EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
                        WHERE a.grantee = 0)
         FROM pg_database d
         JOIN pg_shdescription s ON s.objoid = d.oid AND s.classoid = 'pg_database'::regclass
         WHERE starts_with(s.description, $1) ORDER BY d.datname",
    );
    let rows = conn
        .all(query.bind(format!("tenantry:{installation}:")))
        .await?;
    let found = rows
        .into_iter()
        .filter_map(|(name, comment, open, public)| {
            Some(Found {
                name,
                mark: comment.parse().ok()?,
                open,
                public,
            })
        });
    Ok(found.collect())
}

/// `CREATE DATABASE`, tried again while somebody is connected to the template. False when a database
/// of this name exists, which may be ours from before, or another's.
///
/// No STRATEGY is named: that is WAL_LOG on 15 and later (14 knows FILE_COPY alone). Measured on
/// Postgres 15 with a template of 8 MB, fsync on, 2 cores; medians: one after another 19 ms by
/// WAL_LOG, 51 ms by FILE_COPY, which waits for two checkpoints; 40 clones over 8 sessions 1.0 s and
/// 1.1 s. With pgbench writing beside them: 25 ms and 87 ms, and 1.7 s and 1.5 s. So FILE_COPY wins a
/// little where many clone at once on a busy server, and pays with checkpoints that slow every other
/// tenant down.
async fn clone(
    conn: &mut AdminConn,
    name: &DbName,
    template: &DbName,
) -> Result<bool, ClusterError> {
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template} ALLOW_CONNECTIONS false");
    match alter(conn, sql).await {
        Ok(()) => Ok(true),
        Err(ClusterError::Refused { sqlstate, .. })
            if sqlstate == "42P04" || sqlstate == "23505" =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn comment(name: &DbName, mark: &Mark) -> String {
    // COMMENT takes no bind parameter; a mark holds nothing that a literal would have to escape.
    format!("COMMENT ON DATABASE {name} IS '{mark}'")
}
