//! What went wrong lately, for those who ask why a tenant cannot connect.
//!
//! Everything here is bounded by constants and by the clusters met, never by the tenants known: who
//! waits and who fails most is kept in sketches ([`top`]), the last errors of the tenants that failed
//! last in small rings ([`recent`]). What is noted is a code and a [`Reason`]: nothing that a server
//! or a tenant wrote.
//!
//! Nothing is decided here, and a request that gets a connection at once does not come by.

mod reason;
mod recent;
mod top;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenantry_types::{Clock, ClusterId, TenantId, Timestamp};
use tokio::time::Instant;

use crate::acquire::AcquireError;
use crate::budget::Limit;
use crate::connect::OpenError;
use crate::generation::Generation;

pub use reason::Reason;
pub use recent::Noted;
use recent::Recent;
use top::Top;

/// How long it takes until something counts half.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// How many tenants are told of at most.
pub(crate) const TOLD: usize = tenantry_types::metric::TENANTS;

/// A tenant and how much of something it had lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The tenant.
    pub tenant: TenantId,
    /// How much, at least; what is older counts less.
    pub count: u64,
}

/// What tenants are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Requests that had to wait for a connection.
    Waits,
    /// Connections that are open now.
    Connections,
    /// Requests that got no connection.
    Errors,
}

/// How a cluster's server was met last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Since when no attempt has reached it; none: the last one did.
    pub unreachable_since: Option<Timestamp>,
    /// Attempts that failed since.
    pub failures: u64,
    /// Why the last one failed.
    pub reason: Option<Reason>,
    /// When a connection was last opened.
    pub last_opened: Option<Timestamp>,
}

/// Notes trouble.
pub(crate) struct Trouble {
    clock: Clock,
    waits: Mutex<Top>,
    errors: Mutex<Top>,
    recent: Mutex<Recent>,
    clusters: Mutex<HashMap<ClusterId, Reach>>,
}

impl Trouble {
    pub(crate) fn new(clock: Clock) -> Self {
        let now = Instant::now();
        Self {
            clock,
            waits: Mutex::new(Top::new(HALF_LIFE, now)),
            errors: Mutex::new(Top::new(HALF_LIFE, now)),
            recent: Mutex::default(),
            clusters: Mutex::default(),
        }
    }

    /// A request of the tenant had to wait, whatever came of it.
    pub(crate) fn waited(&self, tenant: TenantId) {
        lock(&self.waits).add(tenant, Instant::now());
    }

    /// A request of the tenant got no connection.
    pub(crate) fn failed(&self, tenant: TenantId, error: &AcquireError) {
        lock(&self.errors).add(tenant, Instant::now());
        let reason = match error {
            AcquireError::Busy(Limit::Tenant) => Reason::TenantBusy,
            AcquireError::Busy(Limit::Cluster) => Reason::BudgetFull,
            AcquireError::Resolve(_) => Reason::NotServed,
            // Why is noted where it is known: `refused`.
            _ => return,
        };
        self.note(tenant, error.code(), reason);
    }

    /// A connection of the generation could not be opened.
    pub(crate) fn refused(&self, generation: &Generation, error: &OpenError) {
        let reason = Reason::of(error);
        let code = match error {
            OpenError::WrongDatabase { .. } => "WRONG_DATABASE",
            OpenError::Refused { .. } => "LOGIN_REFUSED",
            OpenError::Sealed(_) => "SECRET_UNREADABLE",
            OpenError::Unavailable(_) => "DATABASE_UNAVAILABLE",
        };
        self.note(generation.tenant, code, reason);
        let now = self.clock.now();
        let mut clusters = lock(&self.clusters);
        let reach = clusters.entry(generation.place.cluster_id).or_insert(UNMET);
        if reason.was_reached() {
            reach.unreachable_since = None;
            reach.failures = 0;
            return;
        }
        reach.unreachable_since.get_or_insert(now);
        reach.failures = reach.failures.saturating_add(1);
        reach.reason = Some(reason);
    }

    /// A connection of the generation was opened and proven.
    pub(crate) fn opened(&self, generation: &Generation) {
        let last_opened = Some(self.clock.now());
        let reach = Reach {
            last_opened,
            ..UNMET
        };
        lock(&self.clusters).insert(generation.place.cluster_id, reach);
    }

    /// How a cluster's server was met last; none when nothing was tried yet.
    pub(crate) fn reach(&self, cluster: ClusterId) -> Option<Reach> {
        lock(&self.clusters).get(&cluster).copied()
    }

    /// Who waited most lately.
    pub(crate) fn by_waits(&self, most: usize) -> Vec<Ranked> {
        lock(&self.waits).ranked(most, Instant::now())
    }

    /// Who failed most lately.
    pub(crate) fn by_errors(&self, most: usize) -> Vec<Ranked> {
        lock(&self.errors).ranked(most, Instant::now())
    }

    /// How often a tenant waited and failed lately, where that was often.
    pub(crate) fn of(&self, tenant: TenantId) -> (u64, u64) {
        let now = Instant::now();
        (
            lock(&self.waits).of(tenant, now),
            lock(&self.errors).of(tenant, now),
        )
    }

    /// A tenant's last errors, the newest first.
    pub(crate) fn last_errors(&self, tenant: TenantId) -> Vec<Noted> {
        lock(&self.recent).of(tenant)
    }

    fn note(&self, tenant: TenantId, code: &'static str, reason: Reason) {
        lock(&self.recent).note(tenant, code, reason, self.clock.now());
    }
}

const UNMET: Reach = Reach {
    unreachable_since: None,
    failures: 0,
    reason: None,
    last_opened: None,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The `most` largest, the largest first; equal ones in the order of their ids.
pub(crate) fn largest(mut all: Vec<Ranked>, most: usize) -> Vec<Ranked> {
    all.retain(|one| one.count > 0);
    all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then(a.tenant.cmp(&b.tenant)));
    all.truncate(most);
    all
}
