//! The two turns of a birth that write to several tables: a database gets its tenant's name, and the
//! tenant opens.
//!
//! Each is one statement, hence one transaction and one round trip, which writes nothing unless the
//! operation is still its driver's: the operation's row stays locked until the commit, so nobody
//! takes it over in between.

use std::time::Duration;

use sqlx::PgConnection;
use tenantry_types::{DatabaseId, DbName, OperationId, RoleName, TenantId, Timestamp};
use tenantry_vault::Sealed;

use crate::CatalogError;
use crate::databases::{NameError, name_error};
use crate::directory::AddressHash;
use crate::logins::LoginRole;

/// A database that becomes a tenant's.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// The database.
    pub database: DatabaseId,
    /// Whose it becomes.
    pub tenant: TenantId,
    /// The name it has on the cluster now.
    pub name: &'a DbName,
    /// The names that its logins have now.
    pub logins: &'a [(LoginRole, RoleName)],
}

/// A tenant that opens.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// What is told of it; none when an earlier try of this turn has told it.
    pub told: Option<Told<'a>>,
}

/// What is told to the one who asked, and what is no longer kept from then on.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// The answer's name among the operation's secrets; the others go.
    pub name: &'a str,
    /// The answer, sealed for the operation.
    pub answer: &'a Sealed,
    /// How long it can be read.
    pub until: Timestamp,
    /// The database whose `user` login's password goes, as it is in the answer.
    pub database: DatabaseId,
    /// Under which directory key the tenant is listed.
    pub directory_key: &'a str,
    /// The first person, who is listed in the directory.
    pub first_person: Option<AddressHash>,
    /// When the directory looks at the tenant itself.
    pub listed_again: Duration,
}

/// Gives a database to a tenant under the name that it has got, its logins with it. Once more for
/// the same tenant is fine. `false`: the operation is another's now, or it has ended; nothing was
/// written.
///
/// It does not wait for the disk: lost in a crash, it is claimed again, and nothing that was promised
/// rests on it before the tenant opens, which waits.
///
/// # Errors
/// [`NameError::NotFree`] when another tenant has it or it is gone, [`NameError::NameTaken`], or
/// when the catalog fails.
pub async fn claim(
    conn: &mut PgConnection,
    operation: OperationId,
    fence: i64,
    claim: &Claim<'_>,
) -> Result<bool, NameError> {
    let roles: Vec<&str> = claim.logins.iter().map(|(role, _)| role.as_str()).collect();
    let names: Vec<&str> = claim.logins.iter().map(|(_, name)| name.as_str()).collect();
    let done = sqlx::query!(
        r#"WITH held AS (
             SELECT id FROM operations
             WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing') FOR KEY SHARE
           ), claimed AS (
             UPDATE databases d SET state = 'claimed', tenant_id = $4, name = $5
             FROM held
             WHERE d.id = $3 AND (d.tenant_id IS NULL OR d.tenant_id = $4)
               AND set_config('synchronous_commit', 'off', true) = 'off'
             RETURNING d.id
           ), renamed AS (
             UPDATE logins l SET name = n.name
             FROM claimed, unnest($6::text[], $7::text[]) AS n (role, name)
             WHERE l.database_id = claimed.id AND l.role = n.role
           )
           SELECT EXISTS (SELECT FROM held) AS "held!", EXISTS (SELECT FROM claimed) AS "claimed!""#,
        operation.as_uuid(),
        fence,
        claim.database.as_uuid(),
        claim.tenant.as_uuid(),
        claim.name.as_str(),
        &roles as &[&str],
        &names as &[&str],
    )
    .fetch_one(conn)
    .await
    .map_err(|error| name_error(error, claim.name))?;
    match (done.held, done.claimed) {
        (false, _) => Ok(false),
        (true, true) => Ok(true),
        (true, false) => Err(NameError::NotFree(claim.database)),
    }
}

/// Opens a tenant for requests and tells the routers; gives the number of the change. `None`: the
/// operation is another's now, or it has ended; nothing was written.
///
/// The change's number is taken last: its parts wait for all others by what they read, so that its
/// lock is held by nobody who waits for a row ([`crate::change_log::append`]).
///
/// # Errors
/// When the catalog does not answer.
pub async fn open(
    conn: &mut PgConnection,
    operation: OperationId,
    fence: i64,
    opening: &Opening<'_>,
) -> Result<Option<i64>, CatalogError> {
    let told = opening.told.as_ref();
    let row = sqlx::query!(
        r#"WITH held AS (
             SELECT id FROM operations
             WHERE id = $1 AND fence = $2 AND status IN ('running', 'undoing') FOR KEY SHARE
           ), telling AS (
             SELECT id FROM held WHERE $4::text IS NOT NULL
           ), listed AS (
             INSERT INTO directory (address_hash, tenant_id, key_name)
             SELECT $9::bytea, $3, $10::text FROM telling WHERE $9::bytea IS NOT NULL
             ON CONFLICT (address_hash, tenant_id) DO UPDATE
             SET key_name = excluded.key_name, written_at = clock_timestamp()
             RETURNING tenant_id
           ), gone AS (
             DELETE FROM operation_secrets s USING telling
             WHERE s.operation_id = telling.id AND s.name <> $4
             RETURNING s.name
           ), kept AS (
             INSERT INTO operation_secrets (operation_id, name, key_id, sealed, expires_at)
             SELECT id, $4::text, $5::text, $6::bytea, $7::timestamptz FROM telling
             ON CONFLICT (operation_id, name) DO UPDATE
             SET key_id = excluded.key_id, sealed = excluded.sealed, expires_at = excluded.expires_at
             RETURNING name
           ), forgotten AS (
             UPDATE logins l SET key_id = NULL, sealed = NULL FROM telling
             WHERE l.database_id = $8 AND l.role = 'user'
             RETURNING l.role
           ), opened AS (
             UPDATE tenants t
             SET status = 'active', status_reason = NULL, purge_at = NULL,
                 directory_key = coalesce($10, t.directory_key),
                 directory_due_at = coalesce(clock_timestamp() + make_interval(secs => $11),
                                             t.directory_due_at),
                 updated_at = clock_timestamp()
             FROM held WHERE t.id = $3
             RETURNING t.id
           ), next AS (
             UPDATE change_counter SET value = value + 1 FROM opened
             WHERE (SELECT count(*) FROM listed) + (SELECT count(*) FROM gone)
                 + (SELECT count(*) FROM kept) + (SELECT count(*) FROM forgotten) >= 0
             RETURNING value
           ), appended AS (
             INSERT INTO changes (number, tenant_id, kind) SELECT value, $3, 'created' FROM next
             RETURNING number
           )
           SELECT number AS "number!", pg_notify('tenantry_changes', number::text) FROM appended"#,
        operation.as_uuid(),
        fence,
        opening.tenant.as_uuid(),
        told.map(|told| told.name),
        told.map(|told| told.answer.key_id.as_str()),
        told.map(|told| told.answer.bytes.as_slice()),
        told.map(|told| told.until),
        told.map(|told| told.database.as_uuid()),
        told.and_then(|told| told.first_person.as_ref())
            .map(AddressHash::as_slice),
        told.map(|told| told.directory_key),
        told.map(|told| told.listed_again.as_secs_f64()),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.number))
}
