//! The databases as a fleet: what is to be migrated, and how that went.

use sqlx::PgConnection;
use tenantry_types::{DatabaseId, Slug, TenantId};

use super::{Database, DatabaseRow};
use crate::CatalogError;
use crate::count::Count;
use crate::error::Row;
use crate::tenants::Status;

/// A database with what a fleet-wide migration must know of its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForMigration {
    /// The database.
    pub database: Database,
    /// Its tenant, unless it is a spare.
    pub tenant: Option<OfTenant>,
}

/// What a fleet-wide migration must know of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfTenant {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its state.
    pub status: Status,
    /// The epoch that the database must show.
    pub epoch: i64,
}

/// All databases that a fleet-wide migration must bring up to date: tenants' and spares, oldest
/// first. Not those being made: their operation sees to it.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn all_for_migration(conn: &mut PgConnection) -> Result<Vec<ForMigration>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT d.id, d.cluster_id, d.name, d.state, d.tenant_id, d.operation_id, d.schema,
               d.migrated_at, d.migration_error, d.created_at,
               t.slug AS "slug?", t.status AS "status?", t.epoch AS "epoch?"
           FROM databases d LEFT JOIN tenants t ON t.id = d.tenant_id
           WHERE d.state <> 'making' ORDER BY d.id"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let tenant = match (row.tenant_id, row.slug, row.status, row.epoch) {
                (Some(id), Some(slug), Some(status), Some(epoch)) => {
                    let row = Row::of("tenants", id);
                    Some(OfTenant {
                        id: id.into(),
                        slug: row.column("slug", Slug::parse(&slug))?,
                        status: row.column("status", status.parse())?,
                        epoch,
                    })
                }
                _ => None,
            };
            let database = DatabaseRow {
                id: row.id,
                cluster_id: row.cluster_id,
                name: row.name,
                state: row.state,
                tenant_id: row.tenant_id,
                operation_id: row.operation_id,
                schema: row.schema,
                migrated_at: row.migrated_at,
                migration_error: row.migration_error,
                created_at: row.created_at,
            };
            Ok(ForMigration {
                database: database.decode()?,
                tenant,
            })
        })
        .collect()
}

/// Records that a database is at these migrations. `false`: no such database.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_migrated(
    conn: &mut PgConnection,
    id: DatabaseId,
    schema: &str,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE databases
         SET schema = $2, migrated_at = clock_timestamp(), migration_error = NULL WHERE id = $1",
        id.as_uuid(),
        schema,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records what went wrong when a database was migrated. `false`: no such database.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_migration_error(
    conn: &mut PgConnection,
    id: DatabaseId,
    error: &str,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE databases SET migration_error = $2 WHERE id = $1",
        id.as_uuid(),
        error,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many databases of tenants are not at these migrations. Not those of deleted tenants, which
/// are not migrated.
///
/// # Errors
/// When the catalog does not answer.
pub async fn behind(conn: &mut PgConnection, schema: &str) -> Result<Count, CatalogError> {
    // Two ranges of the index instead of `<>`, which no index answers.
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT FROM (
                   SELECT tenant_id FROM databases WHERE state <> 'making' AND schema < $1
                   UNION ALL
                   SELECT tenant_id FROM databases WHERE state <> 'making' AND schema > $1
               ) d JOIN tenants t ON t.id = d.tenant_id
               WHERE t.status <> 'deleting' LIMIT $2
           ) found"#,
        schema,
        i64::from(Count::ENOUGH) + 1,
    )
    .fetch_one(conn)
    .await?;
    Ok(Count::within(count, Count::ENOUGH, None))
}

/// How many databases could not be migrated when that was last tried.
///
/// # Errors
/// When the catalog does not answer.
pub async fn count_failed(conn: &mut PgConnection) -> Result<Count, CatalogError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT FROM databases WHERE migration_error IS NOT NULL LIMIT $1
           ) found"#,
        i64::from(Count::ENOUGH) + 1,
    )
    .fetch_one(conn)
    .await?;
    Ok(Count::within(count, Count::ENOUGH, None))
}

/// The names of some of those, the oldest first, at most `limit`.
///
/// # Errors
/// When the catalog does not answer.
pub async fn failed(conn: &mut PgConnection, limit: u32) -> Result<Vec<String>, CatalogError> {
    Ok(sqlx::query_scalar!(
        "SELECT name FROM databases WHERE migration_error IS NOT NULL ORDER BY id LIMIT $1",
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?)
}
