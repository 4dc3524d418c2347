//! Which database this is. The router asks it of every new connection before anything else.
//!
//! Read only: the identity is written by the cluster's admin, and no tenant's login may.

use sqlx::{PgConnection, Row};
use tenantry_types::{DatabaseId, InstallationId};
use uuid::Uuid;

use crate::TenantDbError;
use crate::error::sqlstate;

/// Which database this is, and how often its tenant's place has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The installation that made the database.
    pub installation: InstallationId,
    /// The database as the catalog knows it.
    pub database_id: DatabaseId,
    /// Rises when the tenant's place changes.
    pub epoch: i64,
}

/// Reads the identity; none where the database has none (no such table, or no row).
///
/// # Errors
/// As [`read_with_backend`].
pub async fn read(conn: &mut PgConnection) -> Result<Option<Identity>, TenantDbError> {
    let found = read_with_backend(conn).await?;
    Ok(found.map(|(identity, _)| identity))
}

/// [`read`], and the id of the server process that answered: both are wanted of every new
/// connection.
///
/// One round trip: sent as a simple query, since a prepared one is described first.
///
/// # Errors
/// [`TenantDbError::IdentityUnreadable`] where the login may not read it. Whatever is not the
/// expected identity must be taken as another's database.
pub async fn read_with_backend(
    conn: &mut PgConnection,
) -> Result<Option<(Identity, i32)>, TenantDbError> {
    let found = sqlx::raw_sql(
        "SELECT installation, database_id, epoch, pg_catalog.pg_backend_pid() AS pid
         FROM tenantry_self.identity",
    )
    .fetch_all(conn)
    .await;
    let rows = match found {
        Ok(rows) => rows,
        Err(error) => {
            return match sqlstate(&error).as_deref() {
                // undefined_table, invalid_schema_name, undefined_column
                Some("42P01" | "3F000" | "42703") => Ok(None),
                Some("42501") => Err(TenantDbError::IdentityUnreadable(error)),
                _ => Err(error.into()),
            };
        }
    };
    let [row] = rows.as_slice() else {
        return Ok(None);
    };
    let identity = Identity {
        installation: InstallationId::from_uuid(row.try_get::<Uuid, _>("installation")?),
        database_id: DatabaseId::from_uuid(row.try_get::<Uuid, _>("database_id")?),
        epoch: row.try_get("epoch")?,
    };
    Ok(Some((identity, row.try_get("pid")?)))
}
