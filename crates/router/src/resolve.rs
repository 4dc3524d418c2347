//! From a name to a tenant that may be served.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenantry_catalog::tenants::{Status, TenantRef};
use tenantry_types::{Alias, DatabaseId, ErrorKind, Plan, Slug, TenantId};
use tokio::time::Instant;

use crate::Router;
use crate::entry::Entry;
use crate::host::HostName;
use crate::lease::Gate;
use crate::source::Unavailable;

/// How long a request waits for the router to find out whether it may serve.
const SETTLE: Duration = Duration::from_secs(2);
/// What a client is told about a tenant that is being made or moved.
const SOON: Duration = Duration::from_secs(2);

/// A tenant that may be served, as it was when it was resolved.
///
/// It cannot be made but by resolving, and it opens nothing by itself: [`Router::acquire`] looks
/// whether it still holds.
#[derive(Clone, Debug)]
pub struct Route(pub(crate) Arc<Entry>);

/// What a request names a tenant by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The host it was sent to.
    Host(HostName),
    /// An id or slug, from a token or a header.
    Tenant(TenantRef),
    /// An alias, from a header or an API key.
    Alias(Alias),
}

/// Why a name leads to nothing that may be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No tenant there, or one that was deleted: the two look alike.
    #[error("there is no such tenant")]
    Unknown,
    /// An operator took it out of service.
    #[error("the tenant is suspended")]
    Suspended {
        /// Why, in the operator's words, which are meant for the tenant's users.
        reason: Option<String>,
    },
    /// The host is a former one of the tenant, which is served at its present slug's. The two look alike
    /// but for the first label.
    #[error("the tenant is served at another host")]
    Moved {
        /// The present slug.
        to: Slug,
    },
    /// It is being made, migrated or moved, or something failed that a person looks at.
    #[error("the tenant is not ready")]
    NotReady {
        /// After how long another try makes sense.
        retry_after: Duration,
    },
    /// The catalog cannot be reached and the tenant is not known here, or not for sure.
    #[error("the catalog is not available")]
    Unavailable,
}

impl Route {
    /// The tenant.
    #[must_use]
    pub fn tenant_id(&self) -> TenantId {
        self.0.tenant_id
    }

    /// Its slug.
    #[must_use]
    pub fn slug(&self) -> &Slug {
        &self.0.slug
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The plan it is on.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Its state.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// The epoch that its database must show.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.0.epoch
    }

    /// Its database.
    #[must_use]
    pub fn database_id(&self) -> Option<DatabaseId> {
        self.0
            .generation
            .as_ref()
            .map(|generation| generation.place.database_id)
    }
}

impl ResolveError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            // No kind of error is a redirect: who does not redirect has nothing at this host.
            Self::Unknown | Self::Moved { .. } => ErrorKind::NotFound,
            Self::Suspended { .. } => ErrorKind::Forbidden,
            Self::NotReady { .. } | Self::Unavailable => ErrorKind::Unavailable,
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "TENANT_NOT_FOUND",
            Self::Moved { .. } => "TENANT_MOVED",
            Self::Suspended { .. } => "TENANT_SUSPENDED",
            Self::NotReady { .. } => "TENANT_NOT_READY",
            Self::Unavailable => "CATALOG_UNAVAILABLE",
        }
    }

    /// After how long another try makes sense, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unknown | Self::Moved { .. } | Self::Suspended { .. } => None,
            Self::NotReady { retry_after } => Some(*retry_after),
            Self::Unavailable => Some(Duration::from_secs(1)),
        }
    }
}

impl From<Unavailable> for ResolveError {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl Router {
    /// The tenant at a host name. Warm, this asks nobody.
    ///
    /// # Errors
    /// By variant, see [`ResolveError`]. [`HostName::Base`] leads to no tenant.
    pub async fn resolve(&self, host: &HostName) -> Result<Route, ResolveError> {
        let now = self.pass_gate().await?;
        let hit = self.inner.cache.by_host(host, now).await?;
        let former = hit.as_ref().is_some_and(|hit| hit.former);
        // First what is to be said of the tenant itself: of a deleted one, that there is none.
        let route = served(hit.map(|hit| hit.entry))?;
        match former {
            true => Err(ResolveError::Moved {
                to: route.slug().clone(),
            }),
            false => Ok(route),
        }
    }

    /// The tenant of an id or slug. Warm, this asks nobody.
    ///
    /// # Errors
    /// By variant, see [`ResolveError`].
    pub async fn resolve_tenant(&self, tenant: &TenantRef) -> Result<Route, ResolveError> {
        let now = self.pass_gate().await?;
        served(self.inner.cache.by_ref(tenant, now).await?)
    }

    /// The tenant of an alias. Warm, this asks nobody.
    ///
    /// # Errors
    /// By variant, see [`ResolveError`].
    pub async fn resolve_alias(&self, alias: &Alias) -> Result<Route, ResolveError> {
        let now = self.pass_gate().await?;
        served(self.inner.cache.by_alias(alias, now).await?)
    }

    /// Which tenant a name leads to, whether that is served now or not: for comparing names with one
    /// another. A deleted one looks like none. Warm, this asks nobody.
    ///
    /// # Errors
    /// [`ResolveError::Unavailable`].
    pub async fn tenant_of(&self, asked: &Asked) -> Result<Option<TenantId>, ResolveError> {
        let now = self.pass_gate().await?;
        let cache = &self.inner.cache;
        let entry = match asked {
            Asked::Host(host) => {
                let hit = cache.by_host(host, now).await?;
                hit.map(|hit| hit.entry)
            }
            Asked::Tenant(tenant) => cache.by_ref(tenant, now).await?,
            Asked::Alias(alias) => cache.by_alias(alias, now).await?,
        };
        let there = entry.filter(|entry| entry.status != Status::Deleting);
        Ok(there.map(|entry| entry.tenant_id))
    }

    /// [`Router::resolve`] or one of its like, as the request named the tenant.
    ///
    /// # Errors
    /// As theirs.
    pub async fn resolve_asked(&self, asked: &Asked) -> Result<Route, ResolveError> {
        match asked {
            Asked::Host(host) => self.resolve(host).await,
            Asked::Tenant(tenant) => self.resolve_tenant(tenant).await,
            Asked::Alias(alias) => self.resolve_alias(alias).await,
        }
    }

    /// Nothing is handed out while this router does not know whether others still count on it.
    /// Tells at which moment the gate was open: the clock is read once per resolution.
    pub(crate) async fn pass_gate(&self) -> Result<Instant, ResolveError> {
        if self.inner.stopping.load(Ordering::Acquire) {
            return Err(ResolveError::Unavailable);
        }
        let now = Instant::now();
        let (gate, now) = match self.inner.lease.gate_then(now) {
            Gate::Unknown => (self.inner.lease.settle(SETTLE).await, Instant::now()),
            gate => (gate, now),
        };
        match gate {
            Gate::Open | Gate::Away => Ok(now),
            Gate::Shut | Gate::Unknown => Err(ResolveError::Unavailable),
        }
    }
}

/// Lets through what may be served.
pub(crate) fn served(entry: Option<Arc<Entry>>) -> Result<Route, ResolveError> {
    let entry = entry.ok_or(ResolveError::Unknown)?;
    match entry.status {
        Status::Active if entry.generation.is_some() => Ok(Route(entry)),
        Status::Active => {
            tracing::error!(tenant = %entry.tenant_id, "an active tenant has no database or login");
            Err(ResolveError::NotReady { retry_after: SOON })
        }
        Status::Deleting => Err(ResolveError::Unknown),
        Status::Suspended => Err(ResolveError::Suspended {
            reason: entry.status_reason.clone(),
        }),
        Status::Provisioning | Status::Migrating | Status::Moving | Status::Error => {
            Err(ResolveError::NotReady { retry_after: SOON })
        }
    }
}
