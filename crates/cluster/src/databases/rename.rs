//! Other names for databases and their logins.

use tenantry_types::DbName;

use super::proof::{missing, ours, states};
use crate::alter::{alter, taken};
use crate::{AdminConn, ClusterError, Mark, logins, names};

/// Renames a database that nobody is connected to.
///
/// # Errors
/// [`ClusterError::NameTaken`] when another database has the new name, [`ClusterError::NotOurs`]
/// when the database is not the one of this mark.
pub async fn rename(
    conn: &mut AdminConn,
    from: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    match rename_statement(conn, from, to, mark).await? {
        Some(sql) => alter(conn, sql)
            .await
            .map_err(|error| taken(error, to.to_string())),
        None => Ok(()),
    }
}

/// Renames a database and its three logins ([`names::login_names`]) in one transaction, so that
/// there is no moment with half of the names.
///
/// # Errors
/// As [`rename`], and the same for the logins.
pub async fn rename_with_logins(
    conn: &mut AdminConn,
    from: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<(), ClusterError> {
    let mut sql = Vec::new();
    sql.extend(rename_statement(conn, from, to, mark).await?);
    // Nothing was rotated yet: only what has never been a tenant's is renamed.
    let (old, new) = (
        names::login_names(from).first(),
        names::login_names(to).first(),
    );
    let pairs: Vec<_> = old.iter().zip(&new).collect();
    sql.extend(logins::rename_statements(conn, &pairs, mark).await?);
    if sql.is_empty() {
        return Ok(());
    }
    alter(conn, sql.join(";"))
        .await
        .map_err(|error| taken(error, to.to_string()))
}

async fn rename_statement(
    conn: &mut AdminConn,
    from: &DbName,
    to: &DbName,
    mark: &Mark,
) -> Result<Option<String>, ClusterError> {
    if from == to {
        return ours(conn, to, mark).await.map(|_| None);
    }
    let mut found = states(conn, [from, to]).await?.into_iter();
    match (found.next().flatten(), found.next().flatten()) {
        (Some(old), _) if !old.is_ours(from, mark) => Err(ClusterError::NotOurs(from.to_string())),
        (Some(_), Some(_)) => Err(ClusterError::NameTaken(to.to_string())),
        (Some(_), None) => Ok(Some(format!("ALTER DATABASE {from} RENAME TO {to}"))),
        // Renamed before a crash, if it is the same one.
        (None, Some(new)) if new.mark() == Some(*mark) => Ok(None),
        (None, Some(_)) => Err(ClusterError::NotOurs(to.to_string())),
        (None, None) => Err(missing(from)),
    }
}
