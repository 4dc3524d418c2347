//! The logins of a database, with their sealed passwords.
//!
//! The password is sealed for [`Place::login`](tenantry_vault::Place::login): under the route keys
//! for `router`, under the admin keys for the others.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, DbName, RoleName};
use tenantry_vault::Sealed;
use uuid::Uuid;

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
    insert_all(conn, std::slice::from_ref(login)).await
}

/// Inserts logins in one statement.
///
/// # Errors
/// When the catalog does not answer.
pub async fn insert_all(conn: &mut PgConnection, logins: &[Login]) -> Result<(), CatalogError> {
    let databases: Vec<Uuid> = logins.iter().map(|l| l.database_id.as_uuid()).collect();
    let roles: Vec<&str> = logins.iter().map(|l| l.role.as_str()).collect();
    let names: Vec<&str> = logins.iter().map(|l| l.name.as_str()).collect();
    let sealed = || logins.iter().map(|l| l.sealed.as_ref());
    let keys: Vec<Option<&str>> = sealed().map(|s| s.map(|s| s.key_id.as_str())).collect();
    let bytes: Vec<Option<&[u8]>> = sealed().map(|s| s.map(|s| s.bytes.as_slice())).collect();
    sqlx::query!(
        "INSERT INTO logins (database_id, role, name, key_id, sealed)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])",
        &databases,
        &roles as &[&str],
        &names as &[&str],
        &keys as &[Option<&str>],
        &bytes as &[Option<&[u8]>],
    )
    .execute(conn)
    .await?;
    Ok(())
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
