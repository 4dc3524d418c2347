//! The end of a login: dropped, or its tombstone.
//!
//! A tenant can bind any login of the cluster to its own database: `GRANT … TO tenant_other_user`,
//! or default privileges for it. Postgres then refuses to drop that login (2BP01), and only the
//! database where the grant is could release it, where the admin runs nothing. So such a login
//! loses all that it is, its name included, and the empty role stays until the grant is gone.

use tenantry_types::{InstallationId, RoleName};

use super::{state, temporary};
use crate::alter::alter;
use crate::{AdminConn, ClusterError, Mark, groups};

/// How a tombstone's name begins.
const PREFIX: &str = "dropped_";

/// What became of a login. In each case nobody logs in by it, and its name is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It does not exist any more.
    Gone,
    /// There was none.
    Absent,
    /// Another tenant's database names it. What is left is a role of this name that can do nothing,
    /// which [`sweep`] drops when it can.
    Tombstone(RoleName),
}

/// Drops a login, or makes a tombstone of it where another database's grants keep it from going.
///
/// Drop its own database first: what the login owns or may do there is not taken away by force.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the login has another mark, [`ClusterError::Refused`] (2BP01) when
/// it still owns something in its own database or has a right on it.
pub async fn drop(
    conn: &mut AdminConn,
    name: &RoleName,
    mark: &Mark,
) -> Result<Dropped, ClusterError> {
    match dropped(conn, name, mark).await {
        Err(error) if is_bound(&error) => {
            if bound_to_its_own(conn, name, mark).await? {
                return Err(error);
            }
            bury(conn, name, mark).await.map(Dropped::Tombstone)
        }
        done => done,
    }
}

/// [`drop`] for a login whose database stays: whatever names it there leaves a tombstone, too.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the login has another mark.
pub async fn drop_or_bury(
    conn: &mut AdminConn,
    name: &RoleName,
    mark: &Mark,
) -> Result<Dropped, ClusterError> {
    match dropped(conn, name, mark).await {
        Err(error) if is_bound(&error) => bury(conn, name, mark).await.map(Dropped::Tombstone),
        done => done,
    }
}

async fn dropped(
    conn: &mut AdminConn,
    name: &RoleName,
    mark: &Mark,
) -> Result<Dropped, ClusterError> {
    match state(conn, name).await? {
        None => return Ok(Dropped::Absent),
        Some(found) if !found.carries(mark) => return Err(ClusterError::NotOurs(name.to_string())),
        Some(_) => {}
    }
    alter(conn, format!("DROP ROLE IF EXISTS {name}")).await?;
    Ok(Dropped::Gone)
}

/// The tombstones of this installation, by name.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn tombstones(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Vec<(RoleName, Mark)>, ClusterError> {
    Ok(found(conn, installation)
        .await?
        .into_iter()
        .map(|(name, mark, _)| (name, mark))
        .collect())
}

/// Drops the tombstones that no database names any more. Answers how many.
///
/// # Errors
/// When the cluster refuses for another reason than a database that still names one.
pub async fn sweep(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<u64, ClusterError> {
    let mut dropped = 0;
    for (name, _, bound) in found(conn, installation).await? {
        if bound {
            continue;
        }
        match alter(conn, format!("DROP ROLE IF EXISTS {name}")).await {
            Ok(()) => dropped += 1,
            // Named again since we looked.
            Err(error) if is_bound(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(dropped)
}

/// Takes everything from a login and gives its name free. Its mark stays.
async fn bury(
    conn: &mut AdminConn,
    name: &RoleName,
    mark: &Mark,
) -> Result<RoleName, ClusterError> {
    if name.as_str().starts_with(PREFIX) {
        return Ok(name.clone());
    }
    let query = sqlx::query_as::<_, (i64, Vec<String>)>(
        "SELECT oid::bigint, ARRAY(SELECT DISTINCT g.rolname::text FROM pg_auth_members a
                                   JOIN pg_roles g ON g.oid = a.roleid
                                   WHERE a.member = r.oid AND g.rolname = ANY ($2))
         FROM pg_roles r WHERE r.rolname = $1",
    );
    let ours = [groups::OWNER, groups::APP, groups::READONLY].map(str::to_owned);
    let query = query.bind(name.as_str()).bind(ours.to_vec());
    let (oid, groups) = conn.one(query).await?;
    let mut tombstone = tombstone(name, mark, None)?;
    if state(conn, &tombstone).await?.is_some() {
        tombstone = self::tombstone(name, mark, Some(oid))?;
    }
    let mut sql = vec![format!(
        "ALTER ROLE {name} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0"
    )];
    sql.extend(
        groups
            .iter()
            .map(|group| format!("REVOKE {group} FROM {name}")),
    );
    sql.push(format!("ALTER ROLE {name} RENAME TO {tombstone}"));
    alter(conn, sql.join(";")).await?;
    tracing::warn!(%name, %tombstone, "another tenant's database names a login that was dropped; a tombstone stays");
    Ok(tombstone)
}

/// `dropped_<32 hexadecimal digits of the database's id>_<what the login's name ends with>`, with the
/// role's number behind it where there is such a one already: 61 characters at the most.
fn tombstone(name: &RoleName, mark: &Mark, oid: Option<i64>) -> Result<RoleName, ClusterError> {
    let kind = ["owner", "router", "user", "router_2", "user_2"]
        .into_iter()
        .find(|kind| name.as_str().ends_with(&format!("_{kind}")))
        .unwrap_or(match name.as_str().starts_with(temporary::PREFIX) {
            true => "jit",
            false => "builder",
        });
    let number = oid.map_or_else(String::new, |oid| format!("_{oid}"));
    let id = mark.database.as_uuid().simple();
    RoleName::parse(format!("{PREFIX}{id}_{kind}{number}"))
        .map_err(|error| ClusterError::Internal(Box::new(error)))
}

/// Whether the login owns something in the database of its own mark, or has a right in or on it.
async fn bound_to_its_own(
    conn: &mut AdminConn,
    name: &RoleName,
    mark: &Mark,
) -> Result<bool, ClusterError> {
    let query = sqlx::query_as::<_, (bool,)>(
        "SELECT EXISTS (
             SELECT FROM pg_shdepend s
             JOIN pg_database d ON d.oid = s.dbid
                 OR (s.classid = 'pg_database'::regclass AND d.oid = s.objid)
             JOIN pg_roles r ON r.oid = s.refobjid
             WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = $1
               AND shobj_description(d.oid, 'pg_database') = $2)",
    );
    let query = query.bind(name.as_str()).bind(mark.to_string());
    Ok(conn.one(query).await?.0)
}

/// The tombstones, and whether something still names each.
async fn found(
    conn: &mut AdminConn,
    installation: InstallationId,
) -> Result<Vec<(RoleName, Mark, bool)>, ClusterError> {
    let query = sqlx::query_as::<_, (String, String, bool)>(
        "SELECT r.rolname::text, c.description,
                EXISTS (SELECT FROM pg_shdepend s
                        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid)
         FROM pg_roles r
         JOIN pg_shdescription c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass
         WHERE starts_with(r.rolname::text, $1) AND NOT r.rolcanlogin
           AND starts_with(c.description, $2)
         ORDER BY r.rolname",
    );
    let query = query.bind(PREFIX).bind(format!("tenantry:{installation}:"));
    let rows = conn.all(query).await?;
    let known = |(name, comment, bound): (String, String, bool)| {
        Some((RoleName::parse(name).ok()?, comment.parse().ok()?, bound))
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// 2BP01: other objects depend on the role.
fn is_bound(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Refused { sqlstate, .. } if sqlstate == "2BP01")
}
