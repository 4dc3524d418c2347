//! Databases that were taken over where they stand, and how they were before.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{DatabaseId, TenantId};

use crate::CatalogError;
use crate::error::Row;

words! {
    /// How far an adoption is.
    pub enum State {
        /// Being taken over.
        Taking = "taking",
        /// A tenant's.
        Held = "held",
        /// On its way back.
        Returning = "returning",
    }
}

/// One adoption.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// The database.
    pub database_id: DatabaseId,
    /// How far it is.
    pub state: State,
    /// How the database was before; none as long as nothing was changed.
    pub former: Option<Value>,
}

/// Writes down that a database is about to be taken over.
///
/// # Errors
/// When the catalog does not answer.
pub async fn insert(conn: &mut PgConnection, database: DatabaseId) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO adoptions (database_id, state) VALUES ($1, 'taking')",
        database.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps how a database is, before anything is changed. `false`: there is no such adoption.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remember(
    conn: &mut PgConnection,
    database: DatabaseId,
    former: &Value,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE adoptions SET former = $2 WHERE database_id = $1 AND state = 'taking'",
        database.as_uuid(),
        former,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets how far an adoption is. `false`: there is no such adoption.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_state(
    conn: &mut PgConnection,
    database: DatabaseId,
    state: State,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE adoptions SET state = $2 WHERE database_id = $1",
        database.as_uuid(),
        state.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The adoption of a database, if it was adopted.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_database(
    conn: &mut PgConnection,
    database: DatabaseId,
) -> Result<Option<Adoption>, CatalogError> {
    let row = sqlx::query!(
        "SELECT state, former FROM adoptions WHERE database_id = $1",
        database.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Adoption {
            database_id: database,
            state: Row::of("adoptions", database.as_uuid()).column("state", row.state.parse())?,
            former: row.former,
        })
    })
    .transpose()
}

/// The adoption of a tenant's database, if it was adopted.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Adoption>, CatalogError> {
    let id = sqlx::query_scalar!(
        "SELECT a.database_id FROM adoptions a JOIN databases d ON d.id = a.database_id WHERE d.tenant_id = $1",
        tenant.as_uuid(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    match id {
        Some(id) => by_database(conn, id.into()).await,
        None => Ok(None),
    }
}
