//! The directory: which tenants a mail address may sign in to, by a keyed hash of the address.
//!
//! It holds at least everyone who can sign in; one too many does no harm, because a password is proven
//! in the tenant's own database. So a row is written before its person is ([`put`]), and removed after
//! ([`forget`]), and not while somebody may be writing the same one. What went past it all the same (a
//! product may write to its `users` table) is found by comparing each tenant's rows with its database
//! from time to time: [`claim_due`], [`put`], [`set_compared`].
//!
//! Addresses are hashed by the caller: this crate never sees one.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{Slug, TenantId, Timestamp};

use crate::CatalogError;
use crate::error::Row;

/// A mail address under the directory key.
pub type AddressHash = [u8; 32];

/// A row that was confirmed within this time is not removed: longer than any request takes, so whoever
/// wrote it has added their person by then, or never will.
const FRESH: Duration = Duration::from_secs(3600);

/// A tenant that an address may sign in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its slug.
    pub slug: Slug,
    /// Its name, for people.
    pub name: String,
    /// The name of its primary domain: one label is a subdomain.
    pub primary_domain: String,
}

/// A tenant whose rows are to be compared with its database, leased to who was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Whether its rows were never filled with the key in use.
    pub first: bool,
    /// The catalog's time when the lease was taken.
    pub claimed_at: Timestamp,
}

/// Writes or confirms rows of a tenant, made with the key of this name.
///
/// Where the tenant's rows were last filled with another key, the program that did so does not find
/// this one: the tenant becomes due at once.
///
/// # Errors
/// When the catalog does not answer.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: &str,
    hashes: &[AddressHash],
) -> Result<(), CatalogError> {
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
    // In one order, so that two who write the same rows do not wait for each other; of a tenant that
    // was purged in this moment nothing is written.
    sqlx::query!(
        "WITH other AS (
             UPDATE tenants SET directory_key = NULL, directory_due_at = clock_timestamp()
             WHERE id = $1 AND directory_key <> $2
         )
         INSERT INTO directory (address_hash, tenant_id, key_name)
         SELECT hash, t.id, $2
         FROM (SELECT DISTINCT unnest($3::bytea[]) AS hash ORDER BY 1) h, tenants t
         WHERE t.id = $1
         ON CONFLICT (address_hash, tenant_id) DO UPDATE
         SET key_name = excluded.key_name, written_at = clock_timestamp()",
        tenant.as_uuid(),
        key,
        &hashes,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes a row of somebody who was removed or has another address now. One that was confirmed lately
/// stays, for it may be somebody else's by now, and is looked at again when it is an hour old.
///
/// # Errors
/// When the catalog does not answer.
pub async fn forget(
    conn: &mut PgConnection,
    tenant: TenantId,
    hash: &AddressHash,
) -> Result<(), CatalogError> {
    let removed = sqlx::query!(
        "DELETE FROM directory WHERE address_hash = $1 AND tenant_id = $2
           AND written_at < clock_timestamp() - make_interval(secs => $3)",
        hash,
        tenant.as_uuid(),
        FRESH.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    if removed.rows_affected() == 0 {
        sqlx::query!(
            "UPDATE tenants
             SET directory_due_at = clock_timestamp() + make_interval(secs => $2)
             WHERE id = $1
               AND directory_due_at > clock_timestamp() + make_interval(secs => $2)",
            tenant.as_uuid(),
            FRESH.as_secs_f64(),
        )
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// The active tenants of an address, the oldest first, at most `limit`.
///
/// Not the newest first: whoever can make tenants and add people to them could push a person's own
/// out of the list.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn tenants_of(
    conn: &mut PgConnection,
    hash: &AddressHash,
    limit: u32,
) -> Result<Vec<Listed>, CatalogError> {
    let rows = sqlx::query!(
        "SELECT t.id, t.slug, t.name, m.name AS primary_domain
         FROM directory d
         JOIN tenants t ON t.id = d.tenant_id
         JOIN domains m ON m.tenant_id = t.id AND m.is_primary
         WHERE d.address_hash = $1 AND t.status = 'active'
         ORDER BY t.id LIMIT $2",
        hash,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Listed {
                tenant_id: row.id.into(),
                slug: Row::of("tenants", row.id).column("slug", Slug::parse(&row.slug))?,
                name: row.name,
                primary_domain: row.primary_domain,
            })
        })
        .collect()
}

/// Makes every tenant due that was last filled with another key than this one; says how many.
///
/// # Errors
/// When the catalog does not answer.
pub async fn make_due(conn: &mut PgConnection, key: &str) -> Result<u64, CatalogError> {
    let made = sqlx::query!(
        "UPDATE tenants SET directory_key = NULL, directory_due_at = clock_timestamp()
         WHERE id IN (SELECT id FROM tenants WHERE directory_key <> $1
                      ORDER BY id FOR UPDATE SKIP LOCKED)",
        key,
    )
    .execute(conn)
    .await?;
    Ok(made.rows_affected())
}

/// Active tenants whose time to be compared has come, the longest overdue first, at most `limit`. They
/// are the caller's for `lease`; one that is not told of with [`set_compared`] is due again then.
///
/// # Errors
/// When the catalog does not answer.
pub async fn claim_due(
    conn: &mut PgConnection,
    limit: u32,
    lease: Duration,
) -> Result<Vec<Due>, CatalogError> {
    let rows = sqlx::query!(
        r#"WITH due AS MATERIALIZED (
             SELECT id FROM tenants
             WHERE directory_due_at <= clock_timestamp() AND status = 'active'
             ORDER BY directory_due_at LIMIT $1 FOR UPDATE SKIP LOCKED
           )
           UPDATE tenants t
           SET directory_due_at = clock_timestamp() + make_interval(secs => $2)
           FROM due WHERE t.id = due.id
           RETURNING t.id, t.directory_key IS NULL AS "first!",
                     clock_timestamp() AS "claimed_at!""#,
        i64::from(limit),
        lease.as_secs_f64(),
    )
    .fetch_all(conn)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        tenant_id: row.id.into(),
        first: row.first,
        claimed_at: row.claimed_at,
    });
    Ok(due.collect())
}

/// Ends a comparison in which every address of the tenant was [`put`]: rows that were not confirmed
/// by then and are not fresh go, and the tenant is due again after `next`.
///
/// `false`: another key is in use as well, and rows under it were written meanwhile; the tenant stays
/// as it is and will be due again.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_compared(
    conn: &mut PgConnection,
    due: &Due,
    key: &str,
    next: Duration,
) -> Result<bool, CatalogError> {
    sqlx::query!(
        "DELETE FROM directory
         WHERE tenant_id = $1 AND written_at < $2::timestamptz - make_interval(secs => $3)",
        due.tenant_id.as_uuid(),
        due.claimed_at,
        FRESH.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "UPDATE tenants
         SET directory_key = $2, directory_due_at = clock_timestamp() + make_interval(secs => $4)
         WHERE id = $1 AND NOT EXISTS (
             SELECT FROM directory d
             WHERE d.tenant_id = $1 AND d.key_name <> $2 AND d.written_at >= $3)",
        due.tenant_id.as_uuid(),
        key,
        due.claimed_at,
        next.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
