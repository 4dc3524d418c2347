//! A tenant's place as it was at one time: database, epoch, login and password.
//!
//! Connections belong to a generation, not to a tenant. When the place changes, the generation is
//! retired: it gives out nothing any more, and what it has open drains. Two host names of a tenant,
//! and an entry that was merely read again, share the generation and its connections.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tenantry_types::{ClusterId, DatabaseId, DbName, RoleName, TenantId};
use tenantry_vault::Sealed;
use tokio::sync::Notify;

use crate::budget::Cluster;
use crate::connect::Address;
use crate::visits::Present;

/// What makes two places the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) cluster_id: ClusterId,
    pub(crate) address: Address,
    pub(crate) database_id: DatabaseId,
    pub(crate) epoch: i64,
    pub(crate) database: DbName,
    pub(crate) login: RoleName,
    pub(crate) sealed: Sealed,
}

impl Place {
    /// Whether `next` is the same database, reached by another login, or by the same one whose password was
    /// only sealed with another key: then what is open of this one leads where it should, and goes on.
    /// With another password for the same login nobody knows why, and nothing goes on.
    pub(crate) fn goes_on_beside(&self, next: &Self) -> bool {
        let same_database = self.cluster_id == next.cluster_id
            && self.address == next.address
            && self.database_id == next.database_id
            && self.epoch == next.epoch
            && self.database == next.database;
        let same_password = self.sealed == next.sealed;
        same_database
            && (self.login != next.login
                || same_password
                || self.sealed.key_id != next.sealed.key_id)
    }

    /// Whether they are on one server: each login there sees whose sessions there are.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.cluster_id == other.cluster_id && self.address == other.address
    }

    /// Whether sessions of either may end those of the other: one login on one server.
    pub(crate) fn has_login_of(&self, other: &Self) -> bool {
        self.is_beside(other) && self.login == other.login
    }
}

/// One tenant's place at one time.
pub(crate) struct Generation {
    pub(crate) id: u64,
    pub(crate) tenant: TenantId,
    pub(crate) place: Place,
    /// The change number at which the place was read first.
    pub(crate) born_at: i64,
    pub(crate) cluster: Arc<Cluster>,
    /// The requests that are with the tenant there.
    pub(crate) present: Present,
    /// Told when a connection of a retired generation was given back, or a request has left it.
    pub(crate) given_back: Notify,
    /// Connections that the tenant may hold, by its plan. Written under the cluster's lock.
    cap: AtomicUsize,
    /// Written under the cluster's lock, so that nothing is handed out after it was set.
    retired: AtomicBool,
    /// What took over from it. Held, because with a new password only that one can end what is left
    /// of this one.
    successor: OnceLock<Arc<Generation>>,
    /// Whether a change waits, or has waited, until nothing of it is in use.
    ending: AtomicBool,
    registry: Weak<Generations>,
}

impl Generation {
    /// Whether it gives out nothing any more. Certain only under the cluster's lock, or after one was
    /// counted in it (see [`crate::visits`]).
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// The place that is known last of what took over from this one, if anything did.
    pub(crate) fn newest(&self) -> Option<&Place> {
        let mut newest = self.successor.get()?;
        while let Some(next) = newest.successor.get() {
            newest = next;
        }
        Some(&newest.place)
    }

    /// How many connections the tenant may hold.
    pub(crate) fn cap(&self) -> usize {
        self.cap.load(Ordering::Relaxed)
    }

    /// For [`Cluster::set_cap`] alone.
    pub(crate) fn set_cap(&self, cap: usize) {
        self.cap.store(cap, Ordering::Relaxed);
    }

    /// For [`Cluster::retire`] alone.
    pub(crate) fn mark_retired(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    /// Notes that its end is waited for.
    pub(crate) fn mark_ending(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether its end is waited for, or was.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            let mut live = registry.lock();
            if live.get(&self.tenant).is_some_and(|(id, _)| *id == self.id) {
                live.remove(&self.tenant);
            }
        }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("tenant", &self.tenant)
            .field("database_id", &self.place.database_id)
            .field("epoch", &self.place.epoch)
            .field("retired", &self.is_retired())
            .finish_non_exhaustive()
    }
}

/// The generation of each tenant that has one: held by cached entries and by open connections, and
/// forgotten with the last of them.
#[derive(Default)]
pub(crate) struct Generations {
    live: Mutex<HashMap<TenantId, (u64, Weak<Generation>)>>,
    next: AtomicU64,
}

/// The generation for a place that was just read.
pub(crate) struct Placed {
    pub(crate) generation: Arc<Generation>,
    /// The one that it takes over from, to be drained.
    pub(crate) replaced: Option<Arc<Generation>>,
}

impl Generations {
    /// The generation of a tenant whose place was read at `read_at`: the living one when the place
    /// is the same, else a new one. Callers hold the cache's lock on the tenant, so that no two
    /// decide at the same time.
    pub(crate) fn of(
        self: &Arc<Self>,
        tenant: TenantId,
        place: Place,
        read_at: i64,
        cap: usize,
        cluster: &Arc<Cluster>,
    ) -> Placed {
        let living = self.get(tenant);
        if let Some(generation) = &living
            && !generation.is_retired()
            && generation.place == place
        {
            return Placed {
                generation: Arc::clone(generation),
                replaced: None,
            };
        }
        let generation = Arc::new(Generation {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            tenant,
            place,
            born_at: read_at,
            cluster: Arc::clone(cluster),
            present: Present::default(),
            given_back: Notify::new(),
            cap: AtomicUsize::new(cap),
            retired: AtomicBool::new(false),
            successor: OnceLock::new(),
            ending: AtomicBool::new(false),
            registry: Arc::downgrade(self),
        });
        if let Some(former) = &living {
            // Never set before: this one is what is found as the living one from here on.
            let _ = former.successor.set(Arc::clone(&generation));
        }
        self.lock()
            .insert(tenant, (generation.id, Arc::downgrade(&generation)));
        Placed {
            generation,
            replaced: living,
        }
    }

    /// The living generation of a tenant.
    pub(crate) fn get(&self, tenant: TenantId) -> Option<Arc<Generation>> {
        // The guard is gone before the `Arc` is: its drop takes the lock again.
        let weak = self
            .lock()
            .get(&tenant)
            .map(|(_, weak)| Weak::clone(weak))?;
        weak.upgrade()
    }

    /// All living ones. Only for a router that lost rows of the change log, and at its end.
    pub(crate) fn all(&self) -> Vec<Arc<Generation>> {
        let weak: Vec<_> = self
            .lock()
            .values()
            .map(|(_, weak)| Weak::clone(weak))
            .collect();
        weak.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, (u64, Weak<Generation>)>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
