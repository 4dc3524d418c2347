//! Physical databases that we made, from their birth on.
//!
//! A row is written before its database is made and removed after it was dropped, so that there is
//! never a database of ours that the catalog does not know.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, DbName, OperationId, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::{Row, violated};

mod fleet;

pub use fleet::{
    ForMigration, OfTenant, all_for_migration, behind, count_failed, failed, set_migrated,
    set_migration_error,
};

// The one text of the columns; what differs is the rest. Stands first because a macro is known only
// below itself.
macro_rules! database_query {
    ($which:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            DatabaseRow,
            "SELECT id, cluster_id, name, state, tenant_id, operation_id, schema, migrated_at,
                    migration_error, created_at FROM databases " + $which
            $(, $arg)*
        )
    };
}

words! {
    /// How far a database has come.
    pub enum State {
        /// Being made: not to be used yet.
        Making = "making",
        /// Complete, and waiting for a tenant.
        Spare = "spare",
        /// A tenant's.
        Claimed = "claimed",
    }
}

/// One database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its id, which is in its identity and never changes.
    pub id: DatabaseId,
    /// The cluster that holds it.
    pub cluster_id: ClusterId,
    /// Its name there.
    pub name: DbName,
    /// How far it has come.
    pub state: State,
    /// Whose it is.
    pub tenant_id: Option<TenantId>,
    /// The operation that makes or made it.
    pub operation_id: Option<OperationId>,
    /// The digest of the migrations it was last seen at.
    pub schema: String,
    /// When it was last migrated.
    pub migrated_at: Option<Timestamp>,
    /// What went wrong when it was last migrated.
    pub migration_error: Option<String>,
    /// When its row was written.
    pub created_at: Timestamp,
}

/// A database that is to be.
#[derive(Clone, Debug)]
pub struct NewDatabase<'a> {
    /// Its id.
    pub id: DatabaseId,
    /// The cluster that will hold it.
    pub cluster_id: ClusterId,
    /// Its name there.
    pub name: &'a DbName,
    /// The operation that makes it.
    pub operation_id: Option<OperationId>,
    /// The digest of the migrations of the template it is cloned from.
    pub schema: &'a str,
}

/// Why a database did not get a name or a tenant. The transaction is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Another database of the cluster has the name.
    #[error("the cluster has another database called {0}")]
    NameTaken(DbName),
    /// The database is not there, or is another tenant's.
    #[error("database {0} is not there to be claimed")]
    NotFree(DatabaseId),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Inserts a database that is about to be made.
///
/// # Errors
/// [`NameError::NameTaken`], or when the catalog fails.
pub async fn insert_making(
    conn: &mut PgConnection,
    new: &NewDatabase<'_>,
) -> Result<(), NameError> {
    let done = sqlx::query!(
        "INSERT INTO databases (id, cluster_id, name, state, operation_id, schema)
         VALUES ($1, $2, $3, 'making', $4, $5)",
        new.id.as_uuid(),
        new.cluster_id.as_uuid(),
        new.name.as_str(),
        new.operation_id.map(|id| id.as_uuid()),
        new.schema,
    )
    .execute(conn)
    .await;
    done.map(drop).map_err(|error| name_error(error, new.name))
}

/// Puts a database that was being made among the spares: from now on a tenant can get it. `false`: it
/// is among them already, or a tenant's, or there is no such database.
///
/// # Errors
/// When the catalog does not answer.
pub async fn put_by(conn: &mut PgConnection, id: DatabaseId) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE databases SET state = 'spare' WHERE id = $1 AND state = 'making'",
        id.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a database out of the spares again, to be dropped. `false`: it is a tenant's now.
///
/// # Errors
/// When the catalog does not answer.
pub async fn take_back(conn: &mut PgConnection, id: DatabaseId) -> Result<bool, CatalogError> {
    sqlx::query!(
        "UPDATE databases SET state = 'making' WHERE id = $1 AND state = 'spare'",
        id.as_uuid(),
    )
    .execute(&mut *conn)
    .await?;
    let owned = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM databases WHERE id = $1 AND tenant_id IS NOT NULL) AS "owned!""#,
        id.as_uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(!owned)
}

/// Takes a spare out of the stock, to be unmade by an operation. `false`: a tenant has it, or it is no spare.
///
/// # Errors
/// When the catalog does not answer.
pub async fn unstock(
    conn: &mut PgConnection,
    id: DatabaseId,
    operation: OperationId,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE databases SET state = 'making', operation_id = $2 WHERE id = $1 AND state = 'spare'",
        id.as_uuid(),
        operation.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the oldest spare at these migrations to a tenant; it keeps its name until [`claim`]. Two who
/// ask at once get different ones. `None`: there is no spare.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn take_spare(
    conn: &mut PgConnection,
    cluster: ClusterId,
    schema: &str,
    tenant: TenantId,
    operation: OperationId,
) -> Result<Option<DatabaseId>, CatalogError> {
    let id = sqlx::query_scalar!(
        "UPDATE databases SET state = 'claimed', tenant_id = $3, operation_id = $4
         WHERE id = (SELECT id FROM databases
                     WHERE cluster_id = $1 AND state = 'spare' AND schema = $2
                     ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING id",
        cluster.as_uuid(),
        schema,
        tenant.as_uuid(),
        operation.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(DatabaseId::from_uuid))
}

/// How many databases of a cluster are spares at these migrations, and how many more are being made
/// by operations that go forward and are about no tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn stock(
    conn: &mut PgConnection,
    cluster: ClusterId,
    schema: &str,
) -> Result<usize, CatalogError> {
    let count = sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM databases
                   WHERE cluster_id = $1 AND state = 'spare' AND schema = $2)
                + (SELECT count(*) FROM operations
                   WHERE kind = 'spare' AND status = 'running' AND params ->> 'clusterId' = $3)
                AS "count!""#,
        cluster.as_uuid(),
        schema,
        cluster.to_string(),
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Gives a database to a tenant under a new name. Once more for the same tenant is fine.
///
/// # Errors
/// [`NameError::NotFree`] when another tenant has it or it is gone, [`NameError::NameTaken`], or
/// when the catalog fails.
pub async fn claim(
    conn: &mut PgConnection,
    id: DatabaseId,
    tenant: TenantId,
    new_name: &DbName,
) -> Result<(), NameError> {
    let done = sqlx::query!(
        "UPDATE databases SET state = 'claimed', tenant_id = $2, name = $3
         WHERE id = $1 AND (tenant_id IS NULL OR tenant_id = $2)",
        id.as_uuid(),
        tenant.as_uuid(),
        new_name.as_str(),
    )
    .execute(conn)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(()),
        Ok(_) => Err(NameError::NotFree(id)),
        Err(error) => Err(name_error(error, new_name)),
    }
}

/// Gives a database another name.
///
/// # Errors
/// [`NameError::NotFree`] when it is gone, [`NameError::NameTaken`], or when the catalog fails.
pub async fn rename(
    conn: &mut PgConnection,
    id: DatabaseId,
    new_name: &DbName,
) -> Result<(), NameError> {
    let done = sqlx::query!(
        "UPDATE databases SET name = $2 WHERE id = $1",
        id.as_uuid(),
        new_name.as_str(),
    )
    .execute(conn)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(()),
        Ok(_) => Err(NameError::NotFree(id)),
        Err(error) => Err(name_error(error, new_name)),
    }
}

/// The database of this id.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_id(
    conn: &mut PgConnection,
    id: DatabaseId,
) -> Result<Option<Database>, CatalogError> {
    database_query!("WHERE id = $1", id.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(DatabaseRow::decode)
        .transpose()
}

/// A tenant's database.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Database>, CatalogError> {
    database_query!("WHERE tenant_id = $1", tenant.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(DatabaseRow::decode)
        .transpose()
}

/// The databases that an operation makes or made.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn by_operation(
    conn: &mut PgConnection,
    operation: OperationId,
) -> Result<Vec<Database>, CatalogError> {
    database_query!("WHERE operation_id = $1 ORDER BY id", operation.as_uuid())
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(DatabaseRow::decode)
        .collect()
}

/// A cluster's spares, the oldest first.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn spares(
    conn: &mut PgConnection,
    cluster: ClusterId,
) -> Result<Vec<Database>, CatalogError> {
    database_query!(
        "WHERE cluster_id = $1 AND state = 'spare' ORDER BY id",
        cluster.as_uuid()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(DatabaseRow::decode)
    .collect()
}

/// The databases of a cluster that are there for certain: spares and tenants', but for those on which an operation
/// works.
///
/// # Errors
/// When the catalog does not answer.
pub async fn finished_on(
    conn: &mut PgConnection,
    cluster: ClusterId,
) -> Result<Vec<DatabaseId>, CatalogError> {
    let ids = sqlx::query_scalar!(
        "SELECT d.id FROM databases d WHERE d.cluster_id = $1 AND d.state <> 'making'
           AND NOT EXISTS (SELECT FROM operations o WHERE o.status IN ('running', 'undoing', 'parked')
                           AND (o.id = d.operation_id OR o.tenant_id = d.tenant_id))",
        cluster.as_uuid(),
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(DatabaseId::from_uuid).collect())
}

/// Forgets a database that was dropped, its logins with it. `false`: no such database.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove(conn: &mut PgConnection, id: DatabaseId) -> Result<bool, CatalogError> {
    let done = sqlx::query!("DELETE FROM databases WHERE id = $1", id.as_uuid())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the cluster has a database of this name, as far as the catalog knows.
///
/// # Errors
/// When the catalog does not answer.
pub async fn name_taken(
    conn: &mut PgConnection,
    cluster: ClusterId,
    name: &DbName,
) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM databases WHERE cluster_id = $1 AND name = $2) AS "taken!""#,
        cluster.as_uuid(),
        name.as_str(),
    )
    .fetch_one(conn)
    .await?)
}

pub(crate) fn name_error(error: sqlx::Error, name: &DbName) -> NameError {
    if violated(&error) == Some("databases_name_key") {
        NameError::NameTaken(name.clone())
    } else {
        CatalogError::from(error).into()
    }
}

struct DatabaseRow {
    id: Uuid,
    cluster_id: Uuid,
    name: String,
    state: String,
    tenant_id: Option<Uuid>,
    operation_id: Option<Uuid>,
    schema: String,
    migrated_at: Option<Timestamp>,
    migration_error: Option<String>,
    created_at: Timestamp,
}

impl DatabaseRow {
    fn decode(self) -> Result<Database, CatalogError> {
        let row = Row::of("databases", self.id);
        Ok(Database {
            id: self.id.into(),
            cluster_id: self.cluster_id.into(),
            name: row.column("name", DbName::parse(self.name))?,
            state: row.column("state", self.state.parse())?,
            tenant_id: self.tenant_id.map(TenantId::from_uuid),
            operation_id: self.operation_id.map(OperationId::from_uuid),
            schema: self.schema,
            migrated_at: self.migrated_at,
            migration_error: self.migration_error,
            created_at: self.created_at,
        })
    }
}
