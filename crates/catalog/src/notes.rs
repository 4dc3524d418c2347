//! Which tenants' notes are to be written, and what they say. A note is kept in the tenant's own database, so that
//! the catalog can be rebuilt when it is lost (`tenantry_cluster::note`).

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, DbName, TenantId};

use crate::CatalogError;
use crate::error::Row;

/// A note that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The tenant.
    pub tenant: TenantId,
    /// Its database.
    pub database: DatabaseId,
    /// The cluster that holds it.
    pub cluster: ClusterId,
    /// Its name there.
    pub name: DbName,
    /// Which state of the tenant the note tells.
    pub version: i64,
    /// What it says.
    pub note: Value,
}

/// Takes notes that are to be written, and leaves them alone for so long if they are not. Whose database is
/// being made or taken apart has none.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn claim_due(
    conn: &mut PgConnection,
    most: u32,
    lease: Duration,
) -> Result<Vec<Due>, CatalogError> {
    let rows = sqlx::query!(
        r#"UPDATE tenants t SET note_due_at = clock_timestamp() + make_interval(secs => $2)
           FROM databases d
           WHERE d.tenant_id = t.id AND t.id IN (
               SELECT n.id FROM tenants n
               WHERE n.note_written < n.note_wanted AND n.note_due_at <= clock_timestamp()
                 AND n.status IN ('active', 'suspended', 'migrating', 'deleting')
               ORDER BY n.note_due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
           RETURNING t.id, d.id AS database_id, d.cluster_id, d.name, t.note_wanted,
               jsonb_build_object(
                   'tenant', t.id, 'slug', t.slug, 'name', t.name, 'plan', t.plan, 'metadata', t.metadata,
                   'maxConnections', t.max_connections, 'status', t.status, 'reason', t.status_reason,
                   'purgeAt', t.purge_at, 'suspendedAt', t.suspended_at,
                   'suspendedReason', t.suspended_reason, 'createdAt', t.created_at) AS "note!""#,
        i64::from(most),
        lease.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Due {
                tenant: row.id.into(),
                database: row.database_id.into(),
                cluster: row.cluster_id.into(),
                name: Row::of("databases", row.database_id)
                    .column("name", DbName::parse(row.name))?,
                version: row.note_wanted,
                note: row.note,
            })
        })
        .collect()
}

/// Records that a note tells this state of its tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_written(
    conn: &mut PgConnection,
    tenant: TenantId,
    version: i64,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE tenants SET note_written = greatest(note_written, $2) WHERE id = $1",
        tenant.as_uuid(),
        version,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets every note of a cluster be written again: its databases may be those of another day.
///
/// # Errors
/// When the catalog does not answer.
pub async fn write_again(conn: &mut PgConnection, tenant: TenantId) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE tenants SET note_wanted = note_wanted + 1, note_due_at = clock_timestamp() WHERE id = $1",
        tenant.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
