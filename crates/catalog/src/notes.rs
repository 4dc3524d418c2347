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
    let claimed = sqlx::query_scalar!(
        "UPDATE tenants SET note_due_at = clock_timestamp() + make_interval(secs => $2)
         WHERE id IN (
             SELECT n.id FROM tenants n
             WHERE n.note_written < n.note_wanted AND n.note_due_at <= clock_timestamp()
               AND n.status IN ('active', 'suspended', 'migrating', 'deleting')
             ORDER BY n.note_due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING id",
        i64::from(most),
        lease.as_secs_f64(),
    )
    .fetch_all(&mut *conn)
    .await?;
    // By a statement of its own: what is told and which version that is are of one moment here. Above, the row would be
    // the newest one, and what a view shows of it from before.
    let rows = sqlx::query!(
        r#"SELECT t.id, d.id AS database_id, d.cluster_id, d.name, t.note_wanted, v.note AS "note!"
           FROM tenants t JOIN databases d ON d.tenant_id = t.id JOIN tenant_notes v ON v.tenant_id = t.id
           WHERE t.id = ANY ($1)"#,
        &claimed,
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

/// Records that a note tells this state of its tenant. Where another one was written meanwhile, as by a process that
/// went on while this one stood still, it is written once more: nobody knows which came last.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_written(
    conn: &mut PgConnection,
    tenant: TenantId,
    version: i64,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE tenants
         SET note_written = greatest(note_written, $2),
             note_wanted = note_wanted + CASE WHEN note_written > $2 THEN 1 ELSE 0 END,
             note_due_at = CASE WHEN note_written > $2 THEN clock_timestamp() ELSE note_due_at END,
             note_old_since = CASE WHEN note_written > $2 THEN clock_timestamp() ELSE note_old_since END
         WHERE id = $1",
        tenant.as_uuid(),
        version,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a note should say.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The tenant.
    pub tenant: TenantId,
    /// What its note should say.
    pub note: Value,
}

/// What the notes should say by now, of one tenant or of all: one that is to be written is given five minutes.
///
/// # Errors
/// When the catalog does not answer.
pub async fn wanted(
    conn: &mut PgConnection,
    only: Option<TenantId>,
) -> Result<Vec<Wanted>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT t.id, v.note AS "note!"
           FROM tenants t JOIN tenant_notes v ON v.tenant_id = t.id
           WHERE ($1::uuid IS NULL OR t.id = $1)
             AND t.status IN ('active', 'suspended', 'migrating', 'deleting')
             AND (t.note_written >= t.note_wanted OR t.note_old_since < clock_timestamp() - interval '5min')"#,
        only.map(|id| id.as_uuid()),
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| Wanted {
            tenant: row.id.into(),
            note: row.note,
        })
        .collect())
}

/// Lets every note of a cluster be written again: its databases may be those of another day.
///
/// # Errors
/// When the catalog does not answer.
pub async fn write_again(conn: &mut PgConnection, tenant: TenantId) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE tenants
         SET note_wanted = note_wanted + 1, note_due_at = clock_timestamp(),
             note_old_since = CASE WHEN note_written >= note_wanted THEN clock_timestamp() ELSE note_old_since END
         WHERE id = $1",
        tenant.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}
