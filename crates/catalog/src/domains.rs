//! Host names that lead to a tenant: what routers read. A custom domain gets here by [`serve`] only,
//! once its claim (see [`crate::domain_claims`]) is proven.

use sqlx::PgConnection;
use tenantry_types::{DomainName, ErrorKind, Slug, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

words! {
    /// What kind of name it is.
    pub enum Kind {
        /// One label below the base domain.
        Subdomain = "subdomain",
        /// A whole name of the customer's.
        Custom = "custom",
    }
}

/// One domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// One label for a subdomain, the whole normalised name for a custom domain.
    pub name: String,
    /// The tenant it leads to.
    pub tenant_id: TenantId,
    /// What kind of name it is.
    pub kind: Kind,
    /// Whether it is the one that the tenant's URL shows.
    pub is_primary: bool,
    /// Of a former slug's subdomain: until when it redirects to the present one's.
    pub redirects_until: Option<Timestamp>,
}

/// Why a domain was not inserted. The transaction is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// It leads to another tenant, or to this one already.
    #[error("the domain `{0}` is taken")]
    DomainTaken(String),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Inserts a domain. A custom one must be claimed by its tenant. A subdomain that was only kept for a
/// redirect which is over is taken over: routers look for such a name anew by themselves.
///
/// # Errors
/// [`InsertError::DomainTaken`], or when the catalog fails.
pub async fn insert(conn: &mut PgConnection, domain: &Domain) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "INSERT INTO domains (name, tenant_id, kind, is_primary, redirects_until)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO UPDATE
         SET tenant_id = excluded.tenant_id, kind = excluded.kind,
             is_primary = excluded.is_primary, redirects_until = excluded.redirects_until,
             created_at = excluded.created_at
         WHERE domains.redirects_until <= clock_timestamp()",
        domain.name,
        domain.tenant_id.as_uuid(),
        domain.kind.as_str(),
        domain.is_primary,
        domain.redirects_until,
    )
    .execute(conn)
    .await
    .map_err(CatalogError::from)?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(InsertError::DomainTaken(domain.name.clone())),
    }
}

/// Moves a tenant's subdomain from its former slug to its present one, which is [`crate::tenants::rename`]'s to
/// write. The former one redirects until then, or with none is free at once. Where it was the primary
/// domain the present one is.
///
/// # Errors
/// [`InsertError::DomainTaken`] when the present one leads to another tenant, or redirects to one.
pub async fn rename(
    conn: &mut PgConnection,
    tenant: TenantId,
    former: &Slug,
    present: &Slug,
    redirects_until: Option<Timestamp>,
) -> Result<(), InsertError> {
    // One that is the tenant's already, an own label or a former slug, is its subdomain from now on.
    let taken = sqlx::query!(
        "INSERT INTO domains (name, tenant_id, kind, is_primary) VALUES ($1, $2, 'subdomain', false)
         ON CONFLICT (name) DO UPDATE
         SET tenant_id = excluded.tenant_id, redirects_until = NULL
         WHERE domains.kind = 'subdomain'
           AND (domains.tenant_id = excluded.tenant_id
                OR domains.redirects_until <= clock_timestamp())",
        present.as_str(),
        tenant.as_uuid(),
    )
    .execute(&mut *conn)
    .await
    .map_err(CatalogError::from)?;
    if taken.rows_affected() != 1 {
        return Err(InsertError::DomainTaken(present.as_str().to_owned()));
    }
    let was_primary = sqlx::query_scalar!(
        "SELECT is_primary FROM domains WHERE name = $1 AND tenant_id = $2",
        former.as_str(),
        tenant.as_uuid(),
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(CatalogError::from)?
    .unwrap_or(false);
    let left = match redirects_until {
        Some(until) => sqlx::query!(
            "UPDATE domains SET is_primary = false, redirects_until = $3
             WHERE name = $1 AND tenant_id = $2",
            former.as_str(),
            tenant.as_uuid(),
            until,
        ),
        None => sqlx::query!(
            "DELETE FROM domains WHERE name = $1 AND tenant_id = $2",
            former.as_str(),
            tenant.as_uuid(),
        ),
    };
    left.execute(&mut *conn).await.map_err(CatalogError::from)?;
    if was_primary {
        sqlx::query!(
            "UPDATE domains SET is_primary = true WHERE name = $1 AND tenant_id = $2",
            present.as_str(),
            tenant.as_uuid(),
        )
        .execute(conn)
        .await
        .map_err(CatalogError::from)?;
    }
    Ok(())
}

/// Removes the rows of redirects that are over; says how many. Nobody is led by them any more.
///
/// # Errors
/// When the catalog does not answer.
pub async fn prune_redirects(conn: &mut PgConnection) -> Result<u64, CatalogError> {
    let done = sqlx::query!("DELETE FROM domains WHERE redirects_until <= clock_timestamp()")
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// A tenant's domains, the primary one first, and former ones that still redirect.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn by_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<Domain>, CatalogError> {
    sqlx::query_as!(
        DomainRow,
        "SELECT name, tenant_id, kind, is_primary, redirects_until FROM domains
         WHERE tenant_id = $1
           AND (redirects_until IS NULL OR redirects_until > clock_timestamp())
         ORDER BY is_primary DESC, redirects_until NULLS FIRST, name",
        tenant.as_uuid(),
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(DomainRow::decode)
    .collect()
}

/// What [`serve`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// It leads to the tenant from now on.
    Begun,
    /// It did before.
    Already,
    /// It leads to another tenant.
    Taken,
}

/// Lets a custom domain lead to the tenant that has proven its claim on it. Of two who do so at once
/// one waits for the other and finds it taken.
///
/// # Errors
/// When the catalog does not answer, or the tenant has no claim.
pub async fn serve(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
) -> Result<Serve, CatalogError> {
    let done = sqlx::query!(
        "INSERT INTO domains (name, tenant_id, kind, is_primary) VALUES ($1, $2, 'custom', false)
         ON CONFLICT (name) DO NOTHING",
        name.as_str(),
        tenant.as_uuid(),
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Serve::Begun);
    }
    Ok(match owner(conn, name).await? {
        Some(owner) if owner == tenant => Serve::Already,
        _ => Serve::Taken,
    })
}

/// Lets a custom domain lead nowhere again; says whether it led to the tenant.
///
/// # Errors
/// When the catalog does not answer.
pub async fn unserve(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &DomainName,
) -> Result<bool, CatalogError> {
    let done = sqlx::query!(
        "DELETE FROM domains WHERE name = $1 AND tenant_id = $2 AND kind = 'custom'",
        name.as_str(),
        tenant.as_uuid(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The tenant that a custom domain leads to.
///
/// # Errors
/// When the catalog does not answer.
pub async fn owner(
    conn: &mut PgConnection,
    name: &DomainName,
) -> Result<Option<TenantId>, CatalogError> {
    let owner = sqlx::query_scalar!(
        "SELECT tenant_id FROM domains WHERE name = $1",
        name.as_str()
    )
    .fetch_optional(conn)
    .await?;
    Ok(owner.map(TenantId::from_uuid))
}

/// Makes a domain that leads to the tenant the one that its URL shows; without a name, its subdomain,
/// which is the slug's where it has several.
///
/// # Errors
/// When the catalog does not answer.
pub async fn set_primary(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: Option<&DomainName>,
) -> Result<(), CatalogError> {
    // Two statements: the index that allows one primary domain looks at each row as it is written.
    sqlx::query!(
        "UPDATE domains SET is_primary = false WHERE tenant_id = $1 AND is_primary",
        tenant.as_uuid(),
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE domains SET is_primary = true
         WHERE name = coalesce($2, (
           SELECT d.name FROM domains d JOIN tenants t ON t.id = d.tenant_id
           WHERE d.tenant_id = $1 AND d.kind = 'subdomain' AND d.redirects_until IS NULL
           ORDER BY d.name = t.slug DESC, d.name LIMIT 1
         )) AND tenant_id = $1",
        tenant.as_uuid(),
        name.map(DomainName::as_str),
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl InsertError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::DomainTaken(_) => ErrorKind::Conflict,
            Self::Catalog(error) => error.kind(),
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::DomainTaken(_) => "DOMAIN_TAKEN",
            Self::Catalog(error) => error.code(),
        }
    }
}

struct DomainRow {
    name: String,
    tenant_id: Uuid,
    kind: String,
    is_primary: bool,
    redirects_until: Option<Timestamp>,
}

impl DomainRow {
    fn decode(self) -> Result<Domain, CatalogError> {
        let kind = Row::of("domains", &self.name).column("kind", self.kind.parse())?;
        Ok(Domain {
            kind,
            name: self.name,
            tenant_id: self.tenant_id.into(),
            is_primary: self.is_primary,
            redirects_until: self.redirects_until,
        })
    }
}
