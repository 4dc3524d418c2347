//! Logins of people and tools to tenants' databases, each with an end. Their passwords are not kept.

use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, RoleName, TenantId, Timestamp};

use crate::CatalogError;
use crate::error::Row;

words! {
    /// What somebody may do who logs in.
    pub enum Role {
        /// What migrations may: define, read and write everything of the tenant.
        Owner = "owner",
        /// What the product may: read and write.
        User = "user",
        /// Read, but for what is secret in the product's own tables.
        Readonly = "readonly",
    }
}

/// One login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemporaryLogin {
    /// Its name.
    pub name: RoleName,
    /// The database that it leads to.
    pub database_id: DatabaseId,
    /// What it may do there.
    pub role: Role,
    /// How many sessions it may have, at least 1 and at most 20.
    pub connections: u32,
    /// Who asked for it.
    pub asked_by: String,
    /// What for, if that was said.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when it lets somebody in.
    pub expires_at: Timestamp,
}

/// Inserts a login.
///
/// # Errors
/// When the catalog does not answer or refuses.
pub async fn insert(conn: &mut PgConnection, new: &TemporaryLogin) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO temporary_logins (name, database_id, role, connections, asked_by, reason, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.name.as_str(),
        new.database_id.as_uuid(),
        new.role.as_str(),
        i32::try_from(new.connections).unwrap_or(i32::MAX),
        new.asked_by,
        new.reason,
        new.created_at,
        new.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets logins; those that are not there are passed over.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove(conn: &mut PgConnection, names: &[String]) -> Result<(), CatalogError> {
    sqlx::query!("DELETE FROM temporary_logins WHERE name = ANY ($1)", names)
        .execute(conn)
        .await?;
    Ok(())
}

/// The logins of a database, in the order of their making.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn of_database(
    conn: &mut PgConnection,
    database: DatabaseId,
) -> Result<Vec<TemporaryLogin>, CatalogError> {
    let rows = sqlx::query_as!(
        LoginRow,
        "SELECT name, database_id, role, connections, asked_by, reason, created_at, expires_at
         FROM temporary_logins WHERE database_id = $1 ORDER BY created_at, name",
        database.as_uuid(),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(LoginRow::decode).collect()
}

/// How many sessions the logins on a cluster may have together. Locks the cluster's row: until the
/// transaction ends nobody else is told, so that two do not take the same room.
///
/// # Errors
/// When the catalog does not answer.
pub async fn held_on(conn: &mut PgConnection, cluster: ClusterId) -> Result<u32, CatalogError> {
    sqlx::query!(
        "SELECT FROM clusters WHERE id = $1 FOR NO KEY UPDATE",
        cluster.as_uuid()
    )
    .execute(&mut *conn)
    .await?;
    let held = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(l.connections), 0) AS "held!"
           FROM temporary_logins l JOIN databases d ON d.id = l.database_id WHERE d.cluster_id = $1"#,
        cluster.as_uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(u32::try_from(held).unwrap_or(u32::MAX))
}

/// The tenants of whom a login has had its time, the longest overdue first. Those with an open or parked
/// operation are left out: nothing can be begun for them now.
///
/// # Errors
/// When the catalog does not answer.
pub async fn due(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TenantId>, CatalogError> {
    let ids = sqlx::query_scalar!(
        r#"SELECT d.tenant_id AS "id!"
           FROM temporary_logins l JOIN databases d ON d.id = l.database_id
           WHERE l.expires_at <= $1 AND d.tenant_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM operations o WHERE o.tenant_id = d.tenant_id
                             AND o.status IN ('running', 'undoing', 'parked'))
           GROUP BY d.tenant_id ORDER BY min(l.expires_at) LIMIT $2"#,
        now,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

struct LoginRow {
    name: String,
    database_id: uuid::Uuid,
    role: String,
    connections: i32,
    asked_by: String,
    reason: Option<String>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl LoginRow {
    fn decode(self) -> Result<TemporaryLogin, CatalogError> {
        let row = Row::of("temporary_logins", &self.name);
        Ok(TemporaryLogin {
            role: row.column("role", self.role.parse())?,
            connections: row.column("connections", u32::try_from(self.connections))?,
            name: row.column("name", RoleName::parse(&self.name))?,
            database_id: self.database_id.into(),
            asked_by: self.asked_by,
            reason: self.reason,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}
