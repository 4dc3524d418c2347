//! Tenants: customers, their state, and where their database is.
//!
//! Listing is in [`page()`].

use std::str::FromStr;

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{ClusterId, DbName, ErrorKind, OperationId, Plan, Slug, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::{Row, violated};

mod life;
mod page;
mod standing;

pub use life::{
    RenameError, Update, rename, restore, resume, set_suspended_reason, suspend, update,
};
pub use page::{Cursor, Filter, InvalidCursor, Page, page};
pub use standing::{COUNTED, by_status, by_status_up_to, overdue_for_purge};

// The one text of the query; what differs is which rows are asked for. Stands first because a macro
// is known only below itself.
macro_rules! tenant_query {
    ($which:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            crate::tenants::TenantRow,
            r#"SELECT t.id, t.slug, t.name, t.plan, t.status, t.status_reason, t.metadata,
                   t.cluster_id, c.name AS cluster_name, t.epoch, t.purge_at, t.created_at,
                   t.updated_at, t.suspended_at, t.max_connections,
                   d.name AS "db_name?", d.schema AS "schema?", d.migration_error,
                   (SELECT m.name FROM domains m WHERE m.tenant_id = t.id AND m.is_primary)
                     AS primary_domain
               FROM tenants t
               JOIN clusters c ON c.id = t.cluster_id
               LEFT JOIN databases d ON d.tenant_id = t.id "#
                + $which
            $(, $arg)*
        )
    };
}
use tenant_query;

words! {
    /// The state of a tenant.
    pub enum Status {
        /// Its database is being made.
        Provisioning = "provisioning",
        /// It is served.
        Active = "active",
        /// An operator took it out of service.
        Suspended = "suspended",
        /// A release that must have it for itself runs.
        Migrating = "migrating",
        /// Its database moves to another place.
        Moving = "moving",
        /// Deleted, and to be purged at `purge_at`.
        Deleting = "deleting",
        /// Something failed that a person must look at.
        Error = "error",
    }
}

/// One tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its id, which never changes.
    pub id: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its name, for people.
    pub name: String,
    /// The plan it is on.
    pub plan: Plan,
    /// Its state.
    pub status: Status,
    /// Why it is in that state, where somebody said so.
    pub status_reason: Option<String>,
    /// What the product wants to remember with it: a JSON object.
    pub metadata: Value,
    /// The cluster that holds its database.
    pub cluster_id: ClusterId,
    /// That cluster's name.
    pub cluster_name: String,
    /// The epoch that its database must show.
    pub epoch: i64,
    /// When it will be purged, if it was deleted.
    pub purge_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// Since when it has been suspended, if it is; a deletion that is taken back brings it back so.
    pub suspended_at: Option<Timestamp>,
    /// How many connections each router may hold for it; none: what its plan says.
    pub max_connections: Option<u32>,
    /// Its database; none while it is being made.
    pub db_name: Option<DbName>,
    /// The digest of the migrations that its database was last seen at.
    pub schema: Option<String>,
    /// What went wrong when it was last migrated.
    pub migration_error: Option<String>,
    /// The name of its primary domain: one label is a subdomain.
    pub primary_domain: Option<String>,
}

/// How a person names a tenant: by its id or its slug.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TenantRef {
    /// By id.
    Id(TenantId),
    /// By slug.
    Slug(Slug),
}

/// Why a text names no tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither a tenant's id nor a slug")]
pub struct InvalidTenantRef;

/// A tenant that is to be.
#[derive(Clone, Debug)]
pub struct NewTenant<'a> {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: &'a Slug,
    /// Its name.
    pub name: &'a str,
    /// Its plan.
    pub plan: &'a Plan,
    /// Its first state, `provisioning` as a rule. Not `deleting`.
    pub status: Status,
    /// What the product wants to remember with it: a JSON object.
    pub metadata: &'a Value,
    /// The cluster that will hold its database.
    pub cluster_id: ClusterId,
}

/// Why a tenant was not inserted. The transaction is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// Another tenant, perhaps a deleted one that was not purged yet, has the slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Inserts a tenant with epoch 1.
///
/// # Errors
/// [`InsertError::SlugTaken`], or when the catalog fails.
pub async fn insert(conn: &mut PgConnection, new: &NewTenant<'_>) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "INSERT INTO tenants (id, slug, name, plan, status, metadata, cluster_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.id.as_uuid(),
        new.slug.as_str(),
        new.name,
        new.plan.to_string(),
        new.status.as_str(),
        new.metadata,
        new.cluster_id.as_uuid(),
    )
    .execute(conn)
    .await;
    match done {
        Ok(_) => Ok(()),
        Err(error) if violated(&error) == Some("tenants_slug_key") => Err(InsertError::SlugTaken),
        Err(error) => Err(CatalogError::from(error).into()),
    }
}

/// How many tenants were made on a cluster since then. Their ids rise with time (UUIDv7, RFC 9562, 5.7).
///
/// # Errors
/// When the catalog does not answer.
pub async fn born_since(
    conn: &mut PgConnection,
    cluster: ClusterId,
    since: Timestamp,
) -> Result<usize, CatalogError> {
    let millis = u128::try_from(since.timestamp_millis()).unwrap_or(0);
    let first = Uuid::from_u128(millis << 80);
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM tenants WHERE id >= $1 AND cluster_id = $2"#,
        first,
        cluster.as_uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The tenant of this id.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_id(conn: &mut PgConnection, id: TenantId) -> Result<Option<Tenant>, CatalogError> {
    tenant_query!("WHERE t.id = $1", id.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(TenantRow::decode)
        .transpose()
}

/// The tenant that an operation is about.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_operation(
    conn: &mut PgConnection,
    operation: OperationId,
) -> Result<Option<Tenant>, CatalogError> {
    tenant_query!(
        "WHERE t.id = (SELECT o.tenant_id FROM operations o WHERE o.id = $1)",
        operation.as_uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(TenantRow::decode)
    .transpose()
}

/// The tenant of this slug.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_slug(conn: &mut PgConnection, slug: &Slug) -> Result<Option<Tenant>, CatalogError> {
    tenant_query!("WHERE t.slug = $1", slug.as_str())
        .fetch_optional(conn)
        .await?
        .map(TenantRow::decode)
        .transpose()
}

/// The slugs of some tenants, in no order; of those that there are.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn slugs(
    conn: &mut PgConnection,
    ids: &[TenantId],
) -> Result<Vec<(TenantId, Slug)>, CatalogError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!("SELECT id, slug FROM tenants WHERE id = ANY($1)", &ids)
        .fetch_all(conn)
        .await?;
    rows.into_iter()
        .map(|row| {
            let slug = Row::of("tenants", row.id).column("slug", Slug::parse(&row.slug))?;
            Ok((row.id.into(), slug))
        })
        .collect()
}

/// The tenant that a person named.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn by_ref(
    conn: &mut PgConnection,
    tenant: &TenantRef,
) -> Result<Option<Tenant>, CatalogError> {
    match tenant {
        TenantRef::Id(id) => by_id(conn, *id).await,
        TenantRef::Slug(slug) => by_slug(conn, slug).await,
    }
}

/// The tenant of this id, its row locked until the transaction ends.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn lock_by_id(
    conn: &mut PgConnection,
    id: TenantId,
) -> Result<Option<Tenant>, CatalogError> {
    tenant_query!("WHERE t.id = $1 FOR UPDATE OF t", id.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(TenantRow::decode)
        .transpose()
}

/// Sets a tenant's state, any but `deleting`, and the reason; no longer to be purged. `false`: no
/// such tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_status(
    conn: &mut PgConnection,
    id: TenantId,
    status: Status,
    reason: Option<&str>,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE tenants
         SET status = $2, status_reason = $3, purge_at = NULL, updated_at = clock_timestamp()
         WHERE id = $1",
        id.as_uuid(),
        status.as_str(),
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How a tenant stands, for [`stand_as_before`]; others need not read it.
///
/// # Errors
/// When the catalog does not answer.
pub async fn standing(
    conn: &mut PgConnection,
    id: TenantId,
) -> Result<Option<Value>, CatalogError> {
    let standing = sqlx::query_scalar!(
        r#"SELECT jsonb_build_object('status', status, 'reason', status_reason, 'purge_at', purge_at)
                  AS "standing!"
           FROM tenants WHERE id = $1 FOR UPDATE"#,
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(standing)
}

/// Lets a tenant stand as [`standing()`] told. `false`: no such tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn stand_as_before(
    conn: &mut PgConnection,
    id: TenantId,
    standing: &Value,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE tenants
         SET status = $2::jsonb ->> 'status', status_reason = $2::jsonb ->> 'reason',
             purge_at = ($2::jsonb ->> 'purge_at')::timestamptz, updated_at = clock_timestamp()
         WHERE id = $1",
        id.as_uuid(),
        standing,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks a tenant as deleted, to be purged at `purge_at`. `false`: no such tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_deleting(
    conn: &mut PgConnection,
    id: TenantId,
    purge_at: Timestamp,
    reason: Option<&str>,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "UPDATE tenants
         SET status = 'deleting', status_reason = $3, purge_at = $2, updated_at = clock_timestamp()
         WHERE id = $1",
        id.as_uuid(),
        purge_at,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deleted tenants whose time is up, the longest overdue first, at most `limit`. Those with an open
/// or parked operation are left out: nothing can be begun for them now.
///
/// # Errors
/// When the catalog does not answer.
pub async fn due_for_purge(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<TenantId>, CatalogError> {
    let ids = sqlx::query_scalar!(
        "SELECT t.id FROM tenants t
         WHERE t.purge_at <= $1
           AND NOT EXISTS (SELECT FROM operations o WHERE o.tenant_id = t.id
                           AND o.status IN ('running', 'undoing', 'parked'))
         ORDER BY t.purge_at LIMIT $2",
        now,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// Removes a tenant for good, its domains with it; its slug and its domains are free again.
/// `false`: no such tenant.
///
/// Its database's row must be gone before (see [`crate::databases::remove`]): the statement is
/// refused otherwise, so that a database which still exists is never forgotten.
///
/// # Errors
/// When the catalog does not answer, or a database's row still names the tenant.
pub async fn remove(conn: &mut PgConnection, id: TenantId) -> Result<bool, CatalogError> {
    let done = sqlx::query!("DELETE FROM tenants WHERE id = $1", id.as_uuid())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

impl FromStr for TenantRef {
    type Err = InvalidTenantRef;

    /// A text in the shape of an id is one: no tenant is called by another one's id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        Slug::parse(text)
            .map(Self::Slug)
            .map_err(|_| InvalidTenantRef)
    }
}

impl std::fmt::Display for TenantRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

impl InsertError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::SlugTaken => ErrorKind::Conflict,
            Self::Catalog(error) => error.kind(),
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SlugTaken => "SLUG_TAKEN",
            Self::Catalog(error) => error.code(),
        }
    }
}

struct TenantRow {
    id: Uuid,
    slug: String,
    name: String,
    plan: String,
    status: String,
    status_reason: Option<String>,
    metadata: Value,
    cluster_id: Uuid,
    cluster_name: String,
    epoch: i64,
    purge_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    suspended_at: Option<Timestamp>,
    max_connections: Option<i32>,
    db_name: Option<String>,
    schema: Option<String>,
    migration_error: Option<String>,
    primary_domain: Option<String>,
}

impl TenantRow {
    fn decode(self) -> Result<Tenant, CatalogError> {
        let row = Row::of("tenants", self.id);
        let db_name = self.db_name.map(DbName::parse).transpose();
        let max_connections = self.max_connections.map(u32::try_from).transpose();
        Ok(Tenant {
            id: self.id.into(),
            slug: row.column("slug", Slug::parse(&self.slug))?,
            name: self.name,
            plan: row.column("plan", Plan::parse(&self.plan))?,
            status: row.column("status", self.status.parse())?,
            status_reason: self.status_reason,
            metadata: self.metadata,
            cluster_id: self.cluster_id.into(),
            cluster_name: self.cluster_name,
            epoch: self.epoch,
            purge_at: self.purge_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            suspended_at: self.suspended_at,
            max_connections: row.column("max_connections", max_connections)?,
            db_name: row.column("db_name", db_name)?,
            schema: self.schema,
            migration_error: self.migration_error,
            primary_domain: self.primary_domain,
        })
    }
}
