//! The logins of a database, with their sealed passwords.
//!
//! The password is sealed for [`Place::login`](tenantry_vault::Place::login): under the route keys
//! for `router` and `router_old`, under the admin keys for the others. What a login becomes is another
//! place, so that its password is sealed anew when another one takes over from it.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, DbName, RoleName, Timestamp};
use tenantry_vault::Sealed;
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

mod due;

pub use due::{OfTenant, begin_rotation, due_for_disabling, of_fleet, scheduled};

words! {
    /// What a login is for.
    pub enum LoginRole {
        /// Migrations.
        Owner = "owner",
        /// The router's connections.
        Router = "router",
        /// The product's own connections.
        User = "user",
        /// What routers used before a rotation, as long as sessions of it may be open.
        RouterOld = "router_old",
        /// What the product was given before, as long as it was promised to be good.
        UserOld = "user_old",
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

/// A database's logins, locked until the transaction ends.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn lock(
    conn: &mut PgConnection,
    database: DatabaseId,
) -> Result<Vec<Login>, CatalogError> {
    sqlx::query!(
        "SELECT role FROM logins WHERE database_id = $1 ORDER BY role FOR UPDATE",
        database.as_uuid(),
    )
    .fetch_all(&mut *conn)
    .await?;
    by_database(conn, database).await
}

/// A login that takes over from another one.
#[derive(Clone, Debug)]
pub struct Successor<'a> {
    /// The database.
    pub database: DatabaseId,
    /// What for: [`LoginRole::Router`] or [`LoginRole::User`].
    pub role: LoginRole,
    /// Its name.
    pub name: &'a RoleName,
    /// Its password, sealed for the place of the role.
    pub sealed: Option<&'a Sealed>,
    /// What the former one becomes: [`LoginRole::RouterOld`] or [`LoginRole::UserOld`].
    pub former: LoginRole,
    /// The former one's password, sealed for that place.
    pub former_sealed: Option<&'a Sealed>,
    /// When the former one is to be disabled, if it is the product's.
    pub disable_at: Option<Timestamp>,
}

/// Lets a login take over: the one before is kept under its other role. The rows must be locked.
///
/// # Errors
/// When the catalog does not answer, or there is a former one already.
pub async fn take_over(
    conn: &mut PgConnection,
    successor: &Successor<'_>,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO logins (database_id, role, name, key_id, sealed, created_at, disable_at)
         SELECT database_id, $3, name, $4, $5, created_at, $6 FROM logins
         WHERE database_id = $1 AND role = $2",
        successor.database.as_uuid(),
        successor.role.as_str(),
        successor.former.as_str(),
        successor.former_sealed.map(|sealed| sealed.key_id.as_str()),
        successor
            .former_sealed
            .map(|sealed| sealed.bytes.as_slice()),
        successor.disable_at,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE logins SET name = $3, key_id = $4, sealed = $5, created_at = clock_timestamp()
         WHERE database_id = $1 AND role = $2",
        successor.database.as_uuid(),
        successor.role.as_str(),
        successor.name.as_str(),
        successor.sealed.map(|sealed| sealed.key_id.as_str()),
        successor.sealed.map(|sealed| sealed.bytes.as_slice()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How long ago a login took over, by the catalog's clock; none if there is no such login.
///
/// # Errors
/// When the catalog does not answer.
pub async fn age(
    conn: &mut PgConnection,
    database: DatabaseId,
    role: LoginRole,
) -> Result<Option<Duration>, CatalogError> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 AS "seconds!"
           FROM logins WHERE database_id = $1 AND role = $2"#,
        database.as_uuid(),
        role.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

/// Until when the product's former login is good, if there is one.
///
/// # Errors
/// When the catalog does not answer.
pub async fn disable_at(
    conn: &mut PgConnection,
    database: DatabaseId,
) -> Result<Option<Timestamp>, CatalogError> {
    let at = sqlx::query_scalar!(
        "SELECT disable_at FROM logins WHERE database_id = $1 AND role = 'user_old'",
        database.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(at.flatten())
}

/// Removes a login's row. `false`: there was none.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove(
    conn: &mut PgConnection,
    database: DatabaseId,
    role: LoginRole,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "DELETE FROM logins WHERE database_id = $1 AND role = $2",
        database.as_uuid(),
        role.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Of some login names on a cluster, those that routers use or have just used, with the database of each.
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
         WHERE l.role IN ('router', 'router_old') AND d.cluster_id = $1 AND l.name = ANY ($2)",
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
