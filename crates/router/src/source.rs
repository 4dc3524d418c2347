//! Reading routes from the catalog, bounded, and remembering for a moment that it did not answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tenantry_catalog::CatalogError;
use tenantry_catalog::routes::{self, Route};
use tenantry_types::{Alias, Slug, TenantId};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Instrument;

use crate::meters::Loads;
use crate::spans;

/// How long one reading may take, with waiting for a connection.
const BOUND: Duration = Duration::from_secs(3);
/// For how long nobody asks again after the catalog did not answer: requests for what is not
/// remembered then fail at once, and do not queue up behind one another's timeouts.
const DOWN: Duration = Duration::from_millis(250);

/// Connections of the pool that loads leave to others.
const KEPT_FREE: u32 = 3;

/// The catalog, as a place to read routes from.
pub(crate) struct Source {
    catalog: PgPool,
    /// Loads at a time: some of the pool's connections are left to the listener, the change log
    /// and the lease, which a flood of unknown names must not starve. Nor may it starve the loads of
    /// tenants that are known: names have permits of their own.
    loads: Semaphore,
    searches: Semaphore,
    base: Instant,
    /// Milliseconds after `base`.
    down_until: AtomicU64,
    counted: Loads,
}

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    Domain(&'a str),
    Slug(&'a Slug),
    Alias(&'a Alias),
}

/// The catalog did not answer, or not in a way that can be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unavailable;

impl Source {
    pub(crate) fn new(catalog: PgPool) -> Self {
        let connections = catalog.options().get_max_connections();
        let loads = usize::try_from(connections.saturating_sub(KEPT_FREE).max(1)).unwrap_or(1);
        Self {
            catalog,
            loads: Semaphore::new(loads.div_ceil(2)),
            searches: Semaphore::new((loads / 2).max(1)),
            base: Instant::now(),
            down_until: AtomicU64::new(0),
            counted: Loads::new(),
        }
    }

    /// Whether it did not answer a moment ago.
    pub(crate) fn is_down(&self) -> bool {
        self.now() < self.down_until.load(Ordering::Relaxed)
    }

    /// The route that a name leads to.
    pub(crate) async fn find(&self, name: Name<'_>) -> Result<(i64, Option<Route>), Unavailable> {
        self.read(&self.searches, async |conn| match name {
            Name::Domain(name) => routes::by_host(conn, name).await,
            Name::Slug(slug) => routes::by_slug(conn, slug).await,
            Name::Alias(alias) => routes::by_alias(conn, alias).await,
        })
        .await
    }

    /// The route of a tenant.
    pub(crate) async fn by_tenant(
        &self,
        tenant: TenantId,
    ) -> Result<(i64, Option<Route>), Unavailable> {
        self.read(&self.loads, async |conn| {
            routes::by_tenant(conn, tenant).await
        })
        .await
    }

    async fn read<T>(
        &self,
        permits: &Semaphore,
        query: impl AsyncFnOnce(&mut PgConnection) -> Result<T, CatalogError>,
    ) -> Result<T, Unavailable> {
        if self.is_down() {
            return Err(Unavailable);
        }
        let span = spans::resolve();
        let read = self.ask(permits, query).instrument(span.clone()).await;
        spans::end(&span, read.is_err().then_some("unavailable"));
        match &read {
            Ok(_) => self.counted.done.increment(1),
            Err(Unavailable) => self.counted.failed.increment(1),
        }
        read
    }

    async fn ask<T>(
        &self,
        permits: &Semaphore,
        query: impl AsyncFnOnce(&mut PgConnection) -> Result<T, CatalogError>,
    ) -> Result<T, Unavailable> {
        let deadline = Instant::now() + BOUND;
        // That many ask says nothing of the catalog.
        let Ok(_one) = tokio::time::timeout_at(deadline, permits.acquire()).await else {
            tracing::debug!(after = ?BOUND, "too many routes are being read");
            return Err(Unavailable);
        };
        let reading = async {
            let mut conn = self.catalog.acquire().await?;
            query(&mut conn).await
        };
        match tokio::time::timeout_at(deadline, reading).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error @ CatalogError::Unavailable(_))) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the catalog did not answer"
                );
                Err(self.down())
            }
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a route cannot be read"
                );
                Err(Unavailable)
            }
            Err(_) => {
                tracing::warn!(after = ?BOUND, "the catalog did not answer");
                Err(self.down())
            }
        }
    }

    fn down(&self) -> Unavailable {
        let until = self.now() + u64::try_from(DOWN.as_millis()).unwrap_or(0);
        self.down_until.fetch_max(until, Ordering::Relaxed);
        Unavailable
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
