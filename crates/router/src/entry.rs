//! What the cache knows of a tenant.

use std::sync::Arc;
use std::time::Duration;

use tenantry_catalog::routes::Route as Row;
use tenantry_catalog::tenants::Status;
use tenantry_types::{Plan, Slug, TenantId};
use tokio::time::Instant;

use crate::connect::Address;
use crate::generation::{Generation, Place};

/// A tenant as it was at one number of the change log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) tenant_id: TenantId,
    pub(crate) slug: Slug,
    pub(crate) name: String,
    pub(crate) plan: Plan,
    pub(crate) status: Status,
    pub(crate) status_reason: Option<String>,
    pub(crate) epoch: i64,
    pub(crate) read_at: i64,
    /// When it is to be read again though nothing was said to have changed.
    pub(crate) renew_at: Instant,
    /// Its place; none before it has a database and a login.
    pub(crate) generation: Option<Arc<Generation>>,
}

impl Entry {
    pub(crate) fn new(row: Row, generation: Option<Arc<Generation>>, ttl: Duration) -> Self {
        Self {
            renew_at: renew_at(row.tenant_id, ttl),
            tenant_id: row.tenant_id,
            slug: row.slug,
            name: row.tenant_name,
            plan: row.plan,
            status: row.status,
            status_reason: row.status_reason,
            epoch: row.epoch,
            read_at: row.read_at,
            generation,
        }
    }

    /// Whether requests are let through to it.
    pub(crate) fn is_served(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether its place was given up.
    pub(crate) fn is_retired(&self) -> bool {
        self.generation
            .as_ref()
            .is_some_and(|generation| generation.is_retired())
    }

    /// Whether it is to be read again, as far as its age goes.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.renew_at
    }
}

/// The place that a row describes, if it is complete.
pub(crate) fn place_of(row: &Row) -> Option<Place> {
    Some(Place {
        cluster_id: row.cluster_id,
        address: Address {
            host: row.host.clone(),
            port: row.port,
            tls: row.tls,
            root_ca: row.root_ca.clone(),
        },
        database_id: row.database_id?,
        epoch: row.epoch,
        database: row.db_name.clone()?,
        login: row.login.clone()?,
        sealed: row.sealed.clone()?,
    })
}

/// `ttl` from now, less up to a tenth that depends on the tenant, so that entries which were read
/// together are not read again together.
pub(crate) fn renew_at(tenant: TenantId, ttl: Duration) -> Instant {
    // The last bytes of a UUIDv7 are random.
    let [.., random] = tenant.as_uuid().into_bytes();
    Instant::now() + ttl - ttl.mul_f64(f64::from(random) / 2_560.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tried: with the tenth added instead of taken off, they are read again too late.
    #[tokio::test(start_paused = true)]
    async fn what_was_read_together_is_not_read_again_together_and_never_later() {
        let ttl = Duration::from_secs(100);
        let now = Instant::now();
        let times: std::collections::BTreeSet<Instant> = (0..=255)
            .map(|last| renew_at(TenantId::from_uuid(uuid::Uuid::from_u128(last)), ttl))
            .collect();
        assert_eq!(times.len(), 256, "spread");
        let earliest = times.first().copied().expect("some");
        assert!(times.iter().all(|at| *at <= now + ttl), "downward only");
        assert!(earliest >= now + ttl.mul_f64(0.9), "by up to a tenth");
        assert!(earliest <= now + ttl.mul_f64(0.91));
    }
}
