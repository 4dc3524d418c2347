//! Domains that tenants want as their own, and how far each has proven it.
//!
//! A claim serves nobody: only [`crate::domains`] does, where a proven claim gets its row. Routers
//! cannot read this table.

use sqlx::PgConnection;
use tenantry_types::{DomainName, OperationId, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

// The one text of the columns; what differs is the rest.
macro_rules! claim_query {
    ($which:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            ClaimRow,
            r#"SELECT c.tenant_id, c.name, c.challenge, c.wants_primary, c.checks, c.outcome,
                   c.checked_at, c.next_check_at, c.unproven_since, c.created_at,
                   d.is_primary AS "is_primary?"
               FROM domain_claims c
               LEFT JOIN domains d ON d.name = c.name AND d.tenant_id = c.tenant_id "# + $which
            $(, $arg)*
        )
    };
}

words! {
    /// What the last look for a claim's record found.
    pub enum Outcome {
        /// The record.
        Proven = "proven",
        /// No record.
        Missing = "missing",
        /// Records, but not this claim's.
        Wrong = "wrong",
        /// The record, but another tenant is served at the domain.
        Taken = "taken",
        /// No answer: nothing is known.
        Unanswered = "unanswered",
    }
}

/// A domain that a tenant wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who wants it.
    pub tenant_id: TenantId,
    /// The domain.
    pub name: DomainName,
    /// What its TXT record must hold. No secret: whoever asks the DNS can read it.
    pub challenge: String,
    /// Whether it is to be the primary domain once it is proven.
    pub wants_primary: bool,
    /// Whether it is served, and as the primary domain; none: it is not served.
    pub served: Option<Served>,
    /// How often it was looked at since it last changed its state.
    pub checks: u32,
    /// What the last look found.
    pub outcome: Option<Outcome>,
    /// When that was.
    pub checked_at: Option<Timestamp>,
    /// When it is looked at next, if at all.
    pub next_check_at: Option<Timestamp>,
    /// Of a served one, and of one that was until it lapsed: since when its record has been seen to be
    /// gone.
    pub unproven_since: Option<Timestamp>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// How a proven domain is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Whether the tenant's URL shows it.
    pub is_primary: bool,
}

/// How a claim stands after a look.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// What it found.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// How many looks there have been since the state changed.
    pub checks: u32,
    /// When to look next.
    pub next: Option<Timestamp>,
    /// Of a served one, and of one that was until it lapsed: since when the record has been gone.
    pub unproven_since: Option<Timestamp>,
}

/// Writes a claim, unless it is there; says whether it was new.
///
/// # Errors
/// When the catalog does not answer.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
    challenge: &str,
    next_check_at: Timestamp,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "INSERT INTO domain_claims (tenant_id, name, challenge, next_check_at)
         VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, name) DO NOTHING",
        tenant.as_uuid(),
        name.as_str(),
        challenge,
        next_check_at,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// One claim.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn get(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
) -> Result<Option<Claim>, CatalogError> {
    claim_query!(
        "WHERE c.tenant_id = $1 AND c.name = $2",
        tenant.as_uuid(),
        name.as_str()
    )
    .fetch_optional(conn)
    .await?
    .map(ClaimRow::decode)
    .transpose()
}

/// One claim, which nobody else changes until the transaction ends.
///
/// # Errors
/// As [`get`].
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
) -> Result<Option<Claim>, CatalogError> {
    let locked = sqlx::query_scalar!(
        "SELECT 1 AS one FROM domain_claims WHERE tenant_id = $1 AND name = $2 FOR UPDATE",
        tenant.as_uuid(),
        name.as_str(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    match locked {
        Some(_) => get(conn, tenant, name).await,
        None => Ok(None),
    }
}

/// All of a tenant's claims, by name.
///
/// # Errors
/// As [`get`].
pub async fn by_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<Claim>, CatalogError> {
    claim_query!("WHERE c.tenant_id = $1 ORDER BY c.name", tenant.as_uuid())
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(ClaimRow::decode)
        .collect()
}

/// The claim that an operation which makes a tenant began with, as long as the tenant has it.
///
/// # Errors
/// As [`get`].
pub async fn of_creation(
    conn: &mut PgConnection,
    operation: OperationId,
) -> Result<Option<Claim>, CatalogError> {
    // Written in the transaction of the tenant, and so in the same moment.
    claim_query!(
        "JOIN operations o ON o.tenant_id = c.tenant_id
         JOIN tenants t ON t.id = c.tenant_id AND t.created_at = c.created_at
         WHERE o.id = $1",
        operation.as_uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(ClaimRow::decode)
    .transpose()
}

/// Makes this the claim that becomes primary once it is proven, and no other of the tenant's; or, with
/// none, no claim at all.
///
/// # Errors
/// When the catalog does not answer.
pub async fn want_primary(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: Option<&DomainName>,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE domain_claims SET wants_primary = false WHERE tenant_id = $1 AND wants_primary",
        tenant.as_uuid(),
    )
    .execute(&mut *conn)
    .await?;
    if let Some(name) = name {
        sqlx::query!(
            "UPDATE domain_claims SET wants_primary = true WHERE tenant_id = $1 AND name = $2",
            tenant.as_uuid(),
            name.as_str(),
        )
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Removes a claim, and with it the domain where it is served; says whether there was one.
///
/// # Errors
/// When the catalog does not answer.
pub async fn remove(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "DELETE FROM domain_claims WHERE tenant_id = $1 AND name = $2",
        tenant.as_uuid(),
        name.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes claims that are due, at most `limit`: until `leased_until` nobody else gets them. Of a deleted
/// tenant only the served ones: what it does not have yet waits until it is back.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn take_due(
    conn: &mut PgConnection,
    now: Timestamp,
    leased_until: Timestamp,
    limit: u32,
) -> Result<Vec<(TenantId, DomainName)>, CatalogError> {
    let rows = sqlx::query!(
        "UPDATE domain_claims c SET next_check_at = $2
         FROM (
           SELECT f.tenant_id, f.name FROM domain_claims f
           JOIN tenants t ON t.id = f.tenant_id
           WHERE f.next_check_at <= $1
             AND (t.status <> 'deleting' OR EXISTS (
               SELECT FROM domains d WHERE d.name = f.name AND d.tenant_id = f.tenant_id))
           ORDER BY f.next_check_at LIMIT $3
           FOR UPDATE OF f SKIP LOCKED
         ) due
         WHERE c.tenant_id = due.tenant_id AND c.name = due.name
         RETURNING c.tenant_id, c.name",
        now,
        leased_until,
        i64::from(limit),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok((row.tenant_id.into(), name(&row.name)?)))
        .collect()
}

/// Writes down what a look found.
///
/// # Errors
/// When the catalog does not answer.
pub async fn note(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
    checked: &Checked,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "UPDATE domain_claims
         SET outcome = $3, checked_at = $4, checks = $5, next_check_at = $6, unproven_since = $7
         WHERE tenant_id = $1 AND name = $2",
        tenant.as_uuid(),
        name.as_str(),
        checked.outcome.as_str(),
        checked.at,
        i32::try_from(checked.checks).unwrap_or(i32::MAX),
        checked.next,
        checked.unproven_since,
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn name(text: &str) -> Result<DomainName, CatalogError> {
    Row::of("domain_claims", text).column("name", DomainName::parse(text))
}

struct ClaimRow {
    tenant_id: Uuid,
    name: String,
    challenge: String,
    wants_primary: bool,
    checks: i32,
    outcome: Option<String>,
    checked_at: Option<Timestamp>,
    next_check_at: Option<Timestamp>,
    unproven_since: Option<Timestamp>,
    created_at: Timestamp,
    is_primary: Option<bool>,
}

impl ClaimRow {
    fn decode(self) -> Result<Claim, CatalogError> {
        let row = Row::of("domain_claims", self.name.clone());
        let outcome = self.outcome.map(|word| word.parse()).transpose();
        Ok(Claim {
            tenant_id: self.tenant_id.into(),
            name: name(&self.name)?,
            challenge: self.challenge,
            wants_primary: self.wants_primary,
            served: self.is_primary.map(|is_primary| Served { is_primary }),
            checks: row.column("checks", u32::try_from(self.checks))?,
            outcome: row.column("outcome", outcome)?,
            checked_at: self.checked_at,
            next_check_at: self.next_check_at,
            unproven_since: self.unproven_since,
            created_at: self.created_at,
        })
    }
}
