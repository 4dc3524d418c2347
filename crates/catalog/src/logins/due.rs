//! Which logins time alone makes due, and the fleet of those that routers use.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{DatabaseId, Slug, TenantId, Timestamp};

use crate::CatalogError;
use crate::error::Row;
use crate::tenants::Status;

/// A tenant whose router login is to be rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfTenant {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its state.
    pub status: Status,
}

/// Notes that a rotation of a database's router login begins: what is scheduled is not tried again at once.
///
/// # Errors
/// When the catalog does not answer.
pub async fn begin_rotation(
    conn: &mut PgConnection,
    database: DatabaseId,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE logins SET rotation_begun_at = clock_timestamp()
         WHERE database_id = $1 AND role = 'router'",
        database.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The tenants whose router login is older than a moment, in the order of their creation.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn of_fleet(
    conn: &mut PgConnection,
    before: Timestamp,
) -> Result<Vec<OfTenant>, CatalogError> {
    let rows = sqlx::query_as!(
        TenantRow,
        "SELECT t.id, t.slug, t.status
         FROM logins l JOIN databases d ON d.id = l.database_id JOIN tenants t ON t.id = d.tenant_id
         WHERE l.role = 'router' AND l.created_at < $1 ORDER BY t.id",
        before,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TenantRow::decode).collect()
}

/// The active tenants whose router login is as old as it may become, less up to a tenth that depends on
/// the tenant, so that those that were made together are not due together. One whose rotation was begun
/// lately and came to nothing is left for a while.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn scheduled(
    conn: &mut PgConnection,
    every: Duration,
    limit: u32,
) -> Result<Vec<OfTenant>, CatalogError> {
    // The last byte of a UUIDv7 is random.
    let rows = sqlx::query_as!(
        TenantRow,
        "SELECT t.id, t.slug, t.status
         FROM logins l JOIN databases d ON d.id = l.database_id JOIN tenants t ON t.id = d.tenant_id
         WHERE l.role = 'router' AND t.status = 'active'
           AND l.created_at <= clock_timestamp() - make_interval(secs => $1::float8 * 0.9)
           AND l.created_at <= clock_timestamp()
               - make_interval(secs => $1::float8 * (1 - get_byte(uuid_send(t.id), 15) / 2560.0::float8))
           AND (l.rotation_begun_at IS NULL OR l.rotation_begun_at
                <= clock_timestamp() - make_interval(secs => least($1::float8 * 0.1, 3600)))
         ORDER BY l.created_at LIMIT $2",
        every.as_secs_f64(),
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TenantRow::decode).collect()
}

/// The tenants whose former product login has outlived its overlap, the longest overdue first. Those with
/// an open or parked operation are left out: nothing can be begun for them now.
///
/// # Errors
/// When the catalog does not answer.
pub async fn due_for_disabling(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TenantId>, CatalogError> {
    let ids = sqlx::query_scalar!(
        r#"SELECT d.tenant_id AS "id!" FROM logins l JOIN databases d ON d.id = l.database_id
           WHERE l.disable_at <= $1 AND d.tenant_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM operations o WHERE o.tenant_id = d.tenant_id
                             AND o.status IN ('running', 'undoing', 'parked'))
           ORDER BY l.disable_at LIMIT $2"#,
        now,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

struct TenantRow {
    id: uuid::Uuid,
    slug: String,
    status: String,
}

impl TenantRow {
    fn decode(self) -> Result<OfTenant, CatalogError> {
        let row = Row::of("tenants", self.id);
        Ok(OfTenant {
            id: self.id.into(),
            slug: row.column("slug", Slug::parse(&self.slug))?,
            status: row.column("status", self.status.parse())?,
        })
    }
}
