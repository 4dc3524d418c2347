//! Looking at one tenant through this router, for an operator who asks why it cannot connect.
//!
//! Nothing is changed by looking: what is not remembered is not loaded. Only a probe opens a
//! connection, on top of the budget and one at a time on each cluster.

use std::sync::Arc;
use std::time::Duration;

use tenantry_catalog::routers::Report;
use tenantry_catalog::tenants::Status;
use tenantry_types::{ClusterId, TenantId};
use tokio::time::{Instant, timeout};

use crate::Router;
use crate::connect::OpenError;
use crate::trouble::{By, Noted, Ranked, Reach, Reason, TOLD, largest};

/// How long a probe waits for another one of the same cluster.
const TURN: Duration = Duration::from_secs(2);

/// A tenant as one router sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStats {
    /// What it remembers of the tenant; none: the next request reads it from the catalog.
    pub remembered: Option<Remembered>,
    /// The tenant's connections; none: it has none open and nobody waits.
    pub pool: Option<PoolStats>,
    /// Whether opening a connection just failed, so that requests are refused without a try.
    pub failing: bool,
    /// Requests that had to wait lately, where it is among those with most.
    pub waits: u64,
    /// Requests that got no connection lately, where it is among those with most.
    pub errors: u64,
    /// What went wrong last, the newest first.
    pub last_errors: Vec<Noted>,
}

/// What a router remembers of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its state.
    pub status: Status,
    /// Its epoch.
    pub epoch: i64,
    /// The number of the last change when it was read.
    pub read_at: i64,
}

/// The connections of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Slots taken: connections being opened, leased, idle or being closed.
    pub open: usize,
    /// Connections that wait for a request.
    pub idle: usize,
    /// Connections in use.
    pub leased: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// How many it may have.
    pub cap: usize,
}

/// Why a probe came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The catalog has no place for the tenant, or cannot be asked for it.
    #[error("there is no place to connect to")]
    NoPlace,
    /// Other probes of this cluster are under way.
    #[error("another probe is under way")]
    Busy,
    /// The server refused, or another database answered.
    #[error("{0}")]
    Refused(Reason),
    /// The server was not reached.
    #[error("{0}")]
    Unreachable(Reason),
}

impl Router {
    /// A tenant as this router sees it now.
    pub async fn tenant_stats(&self, tenant: TenantId) -> TenantStats {
        let cache = &self.inner.cache;
        let remembered = cache.peek(tenant).await.map(|entry| Remembered {
            status: entry.status,
            epoch: entry.epoch,
            read_at: entry.read_at,
        });
        let living = cache.places.living(tenant);
        let pool = living.and_then(|living| living.cluster.pool_stats(&living));
        let (waits, errors) = self.inner.trouble.of(tenant);
        TenantStats {
            remembered,
            pool,
            failing: self.inner.failures.is_failing(tenant),
            waits,
            errors,
            last_errors: self.inner.trouble.last_errors(tenant),
        }
    }

    /// How a cluster's server was met last; none when this router has tried nothing there yet.
    #[must_use]
    pub fn reach(&self, cluster: ClusterId) -> Option<Reach> {
        self.inner.trouble.reach(cluster)
    }

    /// The tenants with most of something, the most first; never more than twenty.
    #[must_use]
    pub fn top_tenants(&self, by: By) -> Vec<Ranked> {
        match by {
            By::Waits => self.inner.trouble.by_waits(TOLD),
            By::Errors => self.inner.trouble.by_errors(TOLD),
            By::Connections => largest(self.inner.cache.places.open_by_tenant(), TOLD),
        }
    }

    /// What it tells of itself in the catalog, as it is now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.inner.registration.reporter.report()
    }

    /// Opens a connection as a request would, proves it, and closes it. Tells how long opening and
    /// proving took.
    ///
    /// The tenant need not be served: a login that is closed says so.
    ///
    /// # Errors
    /// By variant, see [`ProbeError`].
    pub async fn probe(&self, tenant: TenantId) -> Result<Duration, ProbeError> {
        let entry = self.inner.cache.by_id(tenant).await.ok().flatten();
        let generation = entry
            .and_then(|entry| entry.generation.as_ref().map(Arc::clone))
            .ok_or(ProbeError::NoPlace)?;
        let turn = timeout(TURN, generation.cluster.reserve.acquire()).await;
        let _turn = turn
            .map_err(|_| ProbeError::Busy)?
            .map_err(|_| ProbeError::Busy)?;
        let begun = Instant::now();
        match self.inner.connector.probe(&generation.place).await {
            Ok(()) => Ok(begun.elapsed()),
            Err(error) => {
                let reason = Reason::of(&error);
                let reached = reason.was_reached() || !matches!(error, OpenError::Unavailable(_));
                Err(match reached {
                    true => ProbeError::Refused(reason),
                    false => ProbeError::Unreachable(reason),
                })
            }
        }
    }
}
