//! The end of a login's use, when another one has taken its place.
//!
//! The role stays, for a later rotation to come back to: to drop it Postgres would want to know of
//! nothing that it owns or may do, and that is not ours to take away. What is left can do nothing: no
//! LOGIN, no password, no CONNECT, and room for no session. By the last it is known, because whoever
//! opens a tenant's logins again must not open this one.

use tenantry_types::{DbName, RoleName};

use super::state;
use crate::alter::alter;
use crate::{AdminConn, ClusterError, Mark, fence};

/// Locks a login out for good, ends its sessions, and takes its password and its right to connect. One
/// that does not exist is passed over. [`super::create_for`] brings it back with another password.
///
/// # Errors
/// [`ClusterError::NotOurs`] when the login has another mark, [`ClusterError::StillConnected`] when a
/// session of it does not end; repeat it.
pub async fn retire(
    conn: &mut AdminConn,
    database: &DbName,
    name: &RoleName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    match state(conn, name).await? {
        None => return Ok(()),
        Some(found) if !found.carries(mark) => return Err(ClusterError::NotOurs(name.to_string())),
        Some(_) => {}
    }
    fence::expel(conn, std::slice::from_ref(name)).await?;
    alter(
        conn,
        format!(
            "ALTER ROLE {name} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0; REVOKE CONNECT ON DATABASE {database} FROM {name}"
        ),
    )
    .await
}

/// How many sessions a login has. One in the middle of its login does not show.
///
/// # Errors
/// When the cluster does not answer.
pub async fn sessions_of(conn: &mut AdminConn, name: &RoleName) -> Result<i64, ClusterError> {
    let query = sqlx::query_as::<_, (i64,)>(
        "SELECT count(*) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
         WHERE r.rolname = $1",
    );
    Ok(conn.one(query.bind(name.as_str().to_owned())).await?.0)
}

/// Those of the names that were not retired.
pub(super) async fn still_used(
    conn: &mut AdminConn,
    names: Vec<RoleName>,
) -> Result<Vec<RoleName>, ClusterError> {
    let query = sqlx::query_as::<_, (String,)>(
        "SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1) AND rolconnlimit = 0",
    );
    let wanted: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let retired = conn.all(query.bind(wanted)).await?;
    let mut names = names;
    names.retain(|name| retired.iter().all(|(retired,)| retired != name.as_str()));
    Ok(names)
}
