//! The logins of a database, with their sealed passwords.
//!
//! The password is sealed for [`Place::login`](tenantry_vault::Place::login): under the route keys
//! for `router`, under the admin keys for the others.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, DbName, RoleName};
use tenantry_vault::Sealed;

use crate::CatalogError;
use crate::error::Row;

words! {
    /// What a login is for.
    pub enum LoginRole {
        /// Migrations.
        Owner = "owner",
        /// The router's connections.
        Router = "router",
        /// The product's own connections.
        User = "user",
    }
}

/// One login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The database it is for.
    pub database_id: DatabaseId,
    /// What it is for.
    pub role: LoginRole,
    /// Its name on the cluster.
    pub name: RoleName,
    /// Its password; none once it was handed out and forgotten.
    pub sealed: Option<Sealed>,
}

/// Inserts a login.
///
/// # Errors
/// When the catalog does not answer.
pub async fn insert(conn: &mut PgConnection, login: &Login) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO logins (database_id, role, name, key_id, sealed) VALUES ($1, $2, $3, $4, $5)",
        login.database_id.as_uuid(),
        login.role.as_str(),
        login.name.as_str(),
        login.sealed.as_ref().map(|sealed| sealed.key_id.as_str()),
        login.sealed.as_ref().map(|sealed| sealed.bytes.as_slice()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records a login's new name. `false`: no such login.
///
/// # Errors
/// When the catalog does not answer.
pub async fn rename(
    conn: &mut PgConnection,
    database: DatabaseId,
    role: LoginRole,
    new_name: &RoleName,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE logins SET name = $3 WHERE database_id = $1 AND role = $2",
        database.as_uuid(),
        role.as_str(),
        new_name.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records a login's new password. `false`: no such login.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_secret(
    conn: &mut PgConnection,
    database: DatabaseId,
    role: LoginRole,
    sealed: &Sealed,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE logins SET key_id = $3, sealed = $4 WHERE database_id = $1 AND role = $2",
        database.as_uuid(),
        role.as_str(),
        sealed.key_id,
        sealed.bytes,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a login's password, which was handed out. `false`: no such login.
///
/// # Errors
/// When the catalog does not answer.
pub async fn forget_secret(
    conn: &mut PgConnection,
    database: DatabaseId,
    role: LoginRole,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE logins SET key_id = NULL, sealed = NULL WHERE database_id = $1 AND role = $2",
        database.as_uuid(),
        role.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A database's logins.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn by_database(
    conn: &mut PgConnection,
    database: DatabaseId,
) -> Result<Vec<Login>, CatalogError> {
    let rows = sqlx::query!(
        "SELECT role, name, key_id, sealed FROM logins WHERE database_id = $1 ORDER BY role",
        database.as_uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|login| {
            let row = Row::of("logins", format!("{database}/{}", login.role));
            Ok(Login {
                database_id: database,
                role: row.column("role", login.role.parse())?,
                name: row.column("name", RoleName::parse(login.name))?,
                sealed: row.sealed(login.key_id, login.sealed)?,
            })
        })
        .collect()
}

/// Of some login names on a cluster, those that routers use, with the database of each.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn of_routers(
    conn: &mut PgConnection,
    cluster: ClusterId,
    names: &[String],
) -> Result<Vec<(Login, DbName)>, CatalogError> {
    let rows = sqlx::query!(
        "SELECT l.database_id, l.role, l.name, l.key_id, l.sealed, d.name AS db_name
         FROM logins l JOIN databases d ON d.id = l.database_id
         WHERE l.role = 'router' AND d.cluster_id = $1 AND l.name = ANY ($2)",
        cluster.as_uuid(),
        names,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|login| {
            let row = Row::of("logins", format!("{}/{}", login.database_id, login.role));
            let found = Login {
                database_id: login.database_id.into(),
                role: row.column("role", login.role.parse())?,
                name: row.column("name", RoleName::parse(login.name))?,
                sealed: row.sealed(login.key_id, login.sealed)?,
            };
            Ok((found, row.column("db_name", DbName::parse(login.db_name))?))
        })
        .collect()
}
