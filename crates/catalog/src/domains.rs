//! Host names that lead to a tenant.

use sqlx::PgConnection;
use tenantry_types::{ErrorKind, TenantId};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::{Row, violated};

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

/// Inserts a domain.
///
/// # Errors
/// [`InsertError::DomainTaken`], or when the catalog fails.
pub async fn insert(conn: &mut PgConnection, domain: &Domain) -> Result<(), InsertError> {
    let done = sqlx::query!(
        "INSERT INTO domains (name, tenant_id, kind, is_primary) VALUES ($1, $2, $3, $4)",
        domain.name,
        domain.tenant_id.as_uuid(),
        domain.kind.as_str(),
        domain.is_primary,
    )
    .execute(conn)
    .await;
    match done {
        Ok(_) => Ok(()),
        Err(error) if violated(&error) == Some("domains_pkey") => {
            Err(InsertError::DomainTaken(domain.name.clone()))
        }
        Err(error) => Err(CatalogError::from(error).into()),
    }
}

/// A tenant's domains, the primary one first.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn by_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<Domain>, CatalogError> {
    sqlx::query_as!(
        DomainRow,
        "SELECT name, tenant_id, kind, is_primary FROM domains
         WHERE tenant_id = $1 ORDER BY is_primary DESC, name",
        tenant.as_uuid(),
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(DomainRow::decode)
    .collect()
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
}

impl DomainRow {
    fn decode(self) -> Result<Domain, CatalogError> {
        let kind = Row::of("domains", &self.name).column("kind", self.kind.parse())?;
        Ok(Domain {
            kind,
            name: self.name,
            tenant_id: self.tenant_id.into(),
            is_primary: self.is_primary,
        })
    }
}
