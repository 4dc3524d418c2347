//! Who may connect to a database, and what the migrations' group may do in it.

use std::fmt::Write as _;

use sqlx::Row as _;
use tenantry_types::{DbName, RoleName};

use super::proof::{State, missing, ours, state};
use super::{comment, exists};
use crate::alter::{alter, alter_and_ask};
use crate::{AdminConn, ClusterError, Mark, groups, logins};

/// Marks a clone, shuts out everybody and lets the migrations' group create schemas in it: [`super::mark`],
/// [`revoke_public`] and [`grant_owner_create`] in one transaction.
///
/// # Errors
/// [`ClusterError::NotOurs`] when it carries another comment.
pub async fn prepare(conn: &mut AdminConn, name: &DbName, mark: &Mark) -> Result<(), ClusterError> {
    ours(conn, name, mark).await?;
    let sql = [
        comment(name, mark),
        no_public(name),
        owner_create(name),
        // A REVOKE without the right to it only warns: what came of it is asked in the same breath.
        format!(
            "SELECT EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a
                            WHERE a.grantee = 0)
             FROM pg_database WHERE datname = '{}'",
            name.as_str()
        ),
    ];
    let rows = alter_and_ask(conn, sql.join(";")).await?;
    match rows.first().map(|row| row.try_get(0)).transpose()? {
        Some(false) => Ok(()),
        Some(true) => Err(still_public(name)),
        None => Err(missing(name)),
    }
}

/// [`prepare`], and opens the database for the builder of a template. False when it was done before
/// and the database is closed again.
pub(crate) async fn prepare_open(
    conn: &mut AdminConn,
    name: &DbName,
    mark: &Mark,
) -> Result<bool, ClusterError> {
    let found = ours(conn, name, mark).await?;
    if !found.public {
        return Ok(found.open);
    }
    let sql = [
        comment(name, mark),
        no_public(name),
        owner_create(name),
        opening(name),
    ];
    alter(conn, sql.join(";")).await?;
    closed_to_public(conn, name).await.map(|()| true)
}

/// Takes from PUBLIC what Postgres grants it on each new database: CONNECT and TEMPORARY.
///
/// # Errors
/// [`ClusterError::Unsuitable`] when PUBLIC still has a right afterwards: REVOKE without the right
/// to revoke only warns.
pub async fn revoke_public(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(conn, no_public(name)).await?;
    closed_to_public(conn, name).await
}

/// Lets the group that runs migrations create schemas and temporary tables in the database.
///
/// It goes to the group, as an owner login works as the group (`SET role`). A member can run
/// `DROP OWNED BY tenantry_owner` in its own database, which tries to revoke this from the group on
/// every database of the cluster. It revokes nothing there, as only the grantor could (tried on 14,
/// 15, 16 and 18; there is a test). But it writes each database's row, and while its transaction is
/// open, renames, [`open`] and the like on other databases wait; whoever waits in this crate ends it.
///
/// # Errors
/// When the cluster refuses.
pub async fn grant_owner_create(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(conn, owner_create(name)).await
}

/// Grants CONNECT to logins.
///
/// # Errors
/// When the cluster refuses.
pub async fn grant_connect(
    conn: &mut AdminConn,
    name: &DbName,
    logins: &[RoleName],
) -> Result<(), ClusterError> {
    if logins.is_empty() {
        return Ok(());
    }
    alter(conn, connect(name, logins)).await
}

/// Takes CONNECT from logins; those that do not exist are passed over.
///
/// # Errors
/// When the cluster refuses.
pub async fn revoke_connect(
    conn: &mut AdminConn,
    name: &DbName,
    logins: &[RoleName],
) -> Result<(), ClusterError> {
    let there = logins::present(conn, logins).await?;
    if there.is_empty() || !exists(conn, name).await? {
        return Ok(());
    }
    let sql = format!("REVOKE CONNECT ON DATABASE {name} FROM {}", list_of(&there));
    alter(conn, sql).await
}

/// Grants CONNECT to logins and opens the database, in one transaction.
///
/// # Errors
/// When the cluster refuses.
pub async fn admit(
    conn: &mut AdminConn,
    name: &DbName,
    logins: &[RoleName],
) -> Result<(), ClusterError> {
    if logins.is_empty() {
        return open(conn, name).await;
    }
    let sql = format!("{};{}", connect(name, logins), opening(name));
    alter(conn, sql).await
}

/// Lets the database accept connections.
///
/// # Errors
/// When the cluster refuses.
pub async fn open(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(conn, opening(name)).await
}

/// Lets the database accept no new connections, not even the admin's; open ones stay.
///
/// # Errors
/// When the cluster refuses.
pub async fn close(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    alter(
        conn,
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
    )
    .await
}

async fn closed_to_public(conn: &mut AdminConn, name: &DbName) -> Result<(), ClusterError> {
    match state(conn, name).await? {
        Some(State { public: false, .. }) => Ok(()),
        Some(_) => Err(still_public(name)),
        None => Err(missing(name)),
    }
}

pub(super) fn still_public(name: &DbName) -> ClusterError {
    ClusterError::Unsuitable(format!(
        "the database {name} is still open to PUBLIC after REVOKE"
    ))
}

pub(super) fn no_public(name: &DbName) -> String {
    format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")
}

pub(super) fn owner_create(name: &DbName) -> String {
    format!(
        "GRANT CREATE, TEMPORARY ON DATABASE {name} TO {}",
        groups::OWNER
    )
}

pub(super) fn opening(name: &DbName) -> String {
    format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")
}

pub(crate) fn connect(name: &DbName, logins: &[RoleName]) -> String {
    format!("GRANT CONNECT ON DATABASE {name} TO {}", list_of(logins))
}

fn list_of(names: &[RoleName]) -> String {
    let mut list = String::new();
    for (at, name) in names.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(list, "{}{name}", if at == 0 { "" } else { ", " });
    }
    list
}
