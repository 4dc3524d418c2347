//! What is going on, and what is stuck.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{OperationId, TenantId, Timestamp};
use uuid::Uuid;

use super::Status;
use crate::CatalogError;
use crate::error::Row;

/// An operation that does not go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Stuck {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: String,
    /// The tenant it is about.
    pub tenant_id: Option<TenantId>,
    /// That tenant's slug, as long as there is the tenant.
    pub slug: Option<String>,
    /// Why, where that is known.
    pub error: Option<Value>,
    /// When it last changed.
    pub since: Timestamp,
}

/// How many operations are running, undoing and parked; there are never many.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn open_by_status(conn: &mut PgConnection) -> Result<Vec<(Status, i64)>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT status, count(*) AS "count!" FROM operations
           WHERE status IN ('running', 'undoing', 'parked') GROUP BY status"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let status = Row::of("operations", "*").column("status", row.status.parse())?;
            Ok((status, row.count))
        })
        .collect()
}

/// The parked operations, the oldest first, at most `limit`.
///
/// # Errors
/// When the catalog does not answer.
pub async fn parked(conn: &mut PgConnection, limit: u32) -> Result<Vec<Stuck>, CatalogError> {
    let rows = sqlx::query_as!(
        StuckRow,
        r#"SELECT o.id, o.kind, o.tenant_id, t.slug AS "slug?", o.error, o.updated_at AS since
           FROM operations o LEFT JOIN tenants t ON t.id = o.tenant_id
           WHERE o.status = 'parked' ORDER BY o.id LIMIT $1"#,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Stuck::from).collect())
}

/// The open operations that nobody has driven for a minute, the longest first, at most `limit`.
///
/// # Errors
/// When the catalog does not answer.
pub async fn abandoned(conn: &mut PgConnection, limit: u32) -> Result<Vec<Stuck>, CatalogError> {
    let rows = sqlx::query_as!(
        StuckRow,
        r#"SELECT o.id, o.kind, o.tenant_id, t.slug AS "slug?", o.error, o.updated_at AS since
           FROM operations o LEFT JOIN tenants t ON t.id = o.tenant_id
           WHERE o.status IN ('running', 'undoing')
             AND o.lease_until < clock_timestamp() - interval '1 minute'
           ORDER BY o.lease_until LIMIT $1"#,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Stuck::from).collect())
}

struct StuckRow {
    id: Uuid,
    kind: String,
    tenant_id: Option<Uuid>,
    slug: Option<String>,
    error: Option<Value>,
    since: Timestamp,
}

impl From<StuckRow> for Stuck {
    fn from(row: StuckRow) -> Self {
        Self {
            id: row.id.into(),
            kind: row.kind,
            tenant_id: row.tenant_id.map(TenantId::from_uuid),
            slug: row.slug,
            error: row.error,
            since: row.since,
        }
    }
}
