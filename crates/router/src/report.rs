//! What this router tells of itself in the catalog, beside its lease. See
//! [`tenantry_catalog::routers::Report`].
//!
//! It is written about as often as the lease is renewed and after it: a report that cannot be written
//! costs no lease. Its size is bounded by constants, so that a thousand routers write no more than
//! they renew.

use std::sync::Arc;

use sqlx::PgPool;
use tenantry_catalog::CatalogError;
use tenantry_catalog::routers::{self, ClusterReport, LastError, Report, TenantTrouble};
use tenantry_types::{RouterId, TenantId};

use crate::cache::Cache;
use crate::progress::Progress;
use crate::trouble::{Noted, Trouble, largest};

/// Clusters that are told of, those with most connections first.
const CLUSTERS: usize = 64;
/// Tenants that are told of, of each kind of trouble.
const TENANTS: usize = 10;

/// Makes reports.
pub(crate) struct Reporter {
    pub(crate) catalog: PgPool,
    pub(crate) id: RouterId,
    pub(crate) cache: Arc<Cache>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) trouble: Arc<Trouble>,
    /// The ids of the keys that this router opens passwords with.
    pub(crate) keys: Vec<String>,
}

impl Reporter {
    /// Writes one.
    pub(crate) async fn write(&self) -> Result<(), CatalogError> {
        let report = self.report();
        let mut conn = self.catalog.acquire().await?;
        // Not registered any more: the next renewal will see to that.
        routers::report(&mut conn, self.id, &report).await?;
        Ok(())
    }

    pub(crate) fn report(&self) -> Report {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut stats = self.cache.places.cluster_stats();
        stats.sort_by_key(|stats| (std::cmp::Reverse(stats.open), stats.cluster));
        stats.truncate(CLUSTERS);
        let clusters = stats.into_iter().map(|stats| ClusterReport {
            cluster_id: stats.cluster,
            open: count(stats.open),
            idle: count(stats.idle),
            leased: count(stats.leased),
            waiting: count(stats.waiting),
            share: count(stats.limit),
            unreachable_since: self
                .trouble
                .reach(stats.cluster)
                .and_then(|reach| reach.unreachable_since),
            breaker: Some(stats.breaker.word().to_owned()),
        });
        Report {
            applied: self.progress.applied(),
            tenants: self.cache.len(),
            clusters: clusters.collect(),
            troubled: self.troubled(),
            route_keys: Some(self.keys.clone()),
        }
    }

    fn troubled(&self) -> Vec<TenantTrouble> {
        let trouble = &self.trouble;
        let failing = trouble.by_errors(TENANTS);
        let waiting = trouble.by_waits(TENANTS);
        let open = self.cache.places.open_by_tenant();
        let largest = largest(open.clone(), TENANTS);
        let mut tenants: Vec<TenantId> = Vec::new();
        for one in failing.iter().chain(&waiting).chain(&largest) {
            if !tenants.contains(&one.tenant) {
                tenants.push(one.tenant);
            }
        }
        let told = tenants.into_iter().map(|tenant_id| {
            let (waits, errors) = trouble.of(tenant_id);
            let connections = open.iter().filter(|one| one.tenant == tenant_id);
            TenantTrouble {
                tenant_id,
                connections: connections.map(|one| one.count).sum(),
                waits,
                errors,
                last: trouble.last_errors(tenant_id).first().map(last_error),
            }
        });
        told.collect()
    }
}

fn last_error(noted: &Noted) -> LastError {
    LastError {
        at: noted.last,
        code: noted.code.to_owned(),
        reason: noted.reason.to_string(),
    }
}
