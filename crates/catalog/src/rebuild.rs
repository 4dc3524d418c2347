//! Writing a lost catalog anew: tenants as their databases tell, and how far that has come.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{ClusterId, DatabaseId, DbName, Slug, TenantId};

use crate::CatalogError;
use crate::error::{Row, violated};

/// The key of the advisory lock: "tn.rebld" in ASCII.
const LOCK: i64 = 0x746e_2e72_6562_6c64;

/// Keeps every other rebuild off for as long as the session lasts. `false`: another one is on its way.
///
/// # Errors
/// When the catalog does not answer.
pub async fn alone(conn: &mut PgConnection) -> Result<bool, CatalogError> {
    let got = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "got!""#, LOCK)
        .fetch_one(conn)
        .await?;
    Ok(got)
}

/// Whether a rebuild may begin or go on here: the catalog has no tenants, or those of a rebuild that is not over.
///
/// # Errors
/// When the catalog does not answer.
pub async fn may_go_on(conn: &mut PgConnection) -> Result<bool, CatalogError> {
    let may = sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT FROM tenants)
               OR EXISTS (SELECT FROM rebuilds WHERE ended_at IS NULL) AS "may!""#
    )
    .fetch_one(conn)
    .await?;
    Ok(may)
}

/// Records that a rebuild is on its way. One that began before goes on.
///
/// # Errors
/// When the catalog does not answer.
pub async fn begin(conn: &mut PgConnection) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO rebuilds (one_row) VALUES (true)
         ON CONFLICT (one_row) DO UPDATE SET ended_at = NULL"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records that nothing is left to do.
///
/// # Errors
/// When the catalog does not answer.
pub async fn end(conn: &mut PgConnection) -> Result<(), CatalogError> {
    sqlx::query!("UPDATE rebuilds SET ended_at = clock_timestamp() WHERE ended_at IS NULL")
        .execute(conn)
        .await?;
    Ok(())
}

/// A tenant as its database tells.
#[derive(Clone, Debug)]
pub struct NewTenant<'a> {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: &'a Slug,
    /// The cluster that holds its database.
    pub cluster: ClusterId,
    /// Its database.
    pub database: DatabaseId,
    /// The database's name.
    pub name: &'a DbName,
    /// What the identity shows.
    pub epoch: i64,
    /// How it is to stand.
    pub goal: &'a Value,
    /// How an adopted one was before, as its note tells.
    pub former: Option<&'a Value>,
}

/// Why a tenant was not written. The transaction is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// A tenant, a database or a name of it is there already.
    #[error("a row of another tenant is in the way")]
    Taken,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Writes a tenant that is not served yet, its database, its subdomain and how it is to stand. Its logins are
/// [`crate::logins::insert_all`]'s.
///
/// # Errors
/// See [`InsertError`].
pub async fn insert(conn: &mut PgConnection, new: &NewTenant<'_>) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "WITH t AS (
             INSERT INTO tenants (id, slug, name, status, status_reason, cluster_id, epoch)
             VALUES ($1, $2, $2, 'provisioning', 'It is being rebuilt.', $3, $4)),
         d AS (
             INSERT INTO databases (id, cluster_id, name, state, tenant_id, schema)
             VALUES ($5, $3, $6, 'claimed', $1, '')),
         m AS (
             INSERT INTO domains (name, tenant_id, kind, is_primary) VALUES ($2, $1, 'subdomain', true)),
         a AS (
             INSERT INTO adoptions (database_id, state, former)
             SELECT $5, 'held', $8::jsonb WHERE $8::jsonb IS NOT NULL)
         INSERT INTO rebuilt_tenants (tenant_id, goal) VALUES ($1, $7)",
        new.id.as_uuid(),
        new.slug.as_str(),
        new.cluster.as_uuid(),
        new.epoch,
        new.database.as_uuid(),
        new.name.as_str(),
        new.goal,
        new.former,
    )
    .execute(conn)
    .await;
    match done {
        Ok(_) => Ok(()),
        Err(error) if violated(&error).is_some() => Err(InsertError::Taken),
        Err(error) => Err(CatalogError::from(error).into()),
    }
}

/// A tenant that a rebuild has written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its database.
    pub database: DatabaseId,
    /// How it is to stand.
    pub goal: Value,
    /// Whether it does.
    pub done: bool,
}

/// What the rebuild has written so far.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn written(conn: &mut PgConnection) -> Result<Vec<Written>, CatalogError> {
    let rows = sqlx::query!(
        r#"SELECT t.id, t.slug, d.id AS database_id, r.goal, r.done_at IS NOT NULL AS "done!"
           FROM rebuilt_tenants r JOIN tenants t ON t.id = r.tenant_id
           JOIN databases d ON d.tenant_id = t.id ORDER BY t.id"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Written {
                id: row.id.into(),
                slug: Row::of("tenants", row.id).column("slug", Slug::parse(&row.slug))?,
                database: row.database_id.into(),
                goal: row.goal,
                done: row.done,
            })
        })
        .collect()
}

/// Lets a tenant stand as its goal says, and its database be at these migrations (none: nobody could see them).
/// `false`: it does already.
///
/// # Errors
/// When the catalog does not answer.
pub async fn finish(
    conn: &mut PgConnection,
    tenant: TenantId,
    schema: Option<&str>,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "WITH r AS (
             UPDATE rebuilt_tenants SET done_at = clock_timestamp()
             WHERE tenant_id = $1 AND done_at IS NULL RETURNING tenant_id, goal AS g),
         d AS (
             UPDATE databases SET schema = coalesce($2, schema), migrated_at = clock_timestamp()
             FROM r WHERE databases.tenant_id = r.tenant_id)
         UPDATE tenants t
         SET name = g ->> 'name', plan = g ->> 'plan', metadata = g -> 'metadata',
             max_connections = (g ->> 'maxConnections')::integer,
             status = g ->> 'status', status_reason = g ->> 'reason',
             purge_at = (g ->> 'purgeAt')::timestamptz,
             suspended_at = (g ->> 'suspendedAt')::timestamptz, suspended_reason = g ->> 'suspendedReason',
             created_at = coalesce((g ->> 'createdAt')::timestamptz, t.created_at),
             updated_at = clock_timestamp(), directory_due_at = clock_timestamp()
         FROM r WHERE t.id = r.tenant_id",
        tenant.as_uuid(),
        schema,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Brings a tenant's row and the database that was accepted together. One that was lost and is there again is known
/// again.
///
/// # Errors
/// When the catalog does not answer.
pub async fn accept(
    conn: &mut PgConnection,
    database: DatabaseId,
    epoch: i64,
    schema: Option<&str>,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "WITH d AS (
             UPDATE databases SET schema = coalesce($3, schema), migration_error = NULL, lost_at = NULL
             WHERE id = $1 RETURNING tenant_id)
         UPDATE tenants t SET epoch = $2, updated_at = clock_timestamp() FROM d WHERE t.id = d.tenant_id",
        database.as_uuid(),
        epoch,
        schema,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes down that the backup of a cluster that was accepted does not have a database. Its tenant is served by
/// nobody, with this reason; one that is deleted stays so.
///
/// # Errors
/// When the catalog does not answer.
pub async fn lose(
    conn: &mut PgConnection,
    database: DatabaseId,
    reason: &str,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "WITH d AS (
             UPDATE databases SET lost_at = coalesce(lost_at, clock_timestamp()) WHERE id = $1 RETURNING tenant_id)
         UPDATE tenants t SET status = 'error', status_reason = $2, updated_at = clock_timestamp()
         FROM d WHERE t.id = d.tenant_id AND t.status <> 'deleting'",
        database.as_uuid(),
        reason,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the backup of its cluster that was accepted does not have this database.
///
/// # Errors
/// When the catalog does not answer.
pub async fn is_lost(conn: &mut PgConnection, database: DatabaseId) -> Result<bool, CatalogError> {
    let lost = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM databases WHERE id = $1 AND lost_at IS NOT NULL) AS "lost!""#,
        database.as_uuid(),
    )
    .fetch_one(conn)
    .await?;
    Ok(lost)
}

/// Writes the product's other login, where both of a database's are in use and nobody knows which one is the newer:
/// it stays good until then.
///
/// # Errors
/// When the catalog does not answer.
pub async fn insert_other_user(
    conn: &mut PgConnection,
    database: DatabaseId,
    name: &tenantry_types::RoleName,
    until: tenantry_types::Timestamp,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO logins (database_id, role, name, disable_at) VALUES ($1, 'user_old', $2, $3)",
        database.as_uuid(),
        name.as_str(),
        until,
    )
    .execute(conn)
    .await?;
    Ok(())
}
