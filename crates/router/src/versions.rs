//! Which change of which tenant was applied last: decides whether something read earlier may be used.
//!
//! The argument for "a fill read at number N is neither stored nor used once a later row for that
//! tenant was applied". Every row read from the catalog carries the change number that its own
//! statement saw. A row's number is noted here *before* the caches are touched, and a cache asks
//! here on store and on each use:
//! - A load that began after the note sees a snapshot in which the change is committed (we read its
//!   row), so its number is at least the row's: fresh.
//! - A load that began before the note and ends after it carries a lower number: refused on store,
//!   and read again.
//! - A load that stored before the note: the removal that follows waits for a load in flight of the
//!   same tenant, finds the entry, and removes it; a request that got hold of it meanwhile is
//!   refused on use.
//! - What a name leads to is not removed by a row (the row names no hosts) but carries its number,
//!   and is refused on use when its tenant has a later row.
//!
//! The notes are bounded. The number of a forgotten one becomes the floor: what was read before the
//! floor counts as stale for every tenant, which costs a reload and never an answer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use tenantry_types::TenantId;

const NOTES: usize = 65_536;

/// The highest applied change of each tenant that changed lately.
#[derive(Debug)]
pub(crate) struct Versions {
    recent: RwLock<Recent>,
    /// The highest number noted at all: what was read at it or later is fresh without a search.
    newest: AtomicI64,
    /// The highest number of a row that can have given a name to a tenant.
    naming: AtomicI64,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Recent {
    of: HashMap<TenantId, i64>,
    order: VecDeque<(i64, TenantId)>,
    floor: i64,
}

impl Versions {
    /// Nothing is cached yet, so everything up to `number` counts as applied.
    pub(crate) fn starting_at(number: i64) -> Self {
        Self {
            recent: RwLock::default(),
            newest: AtomicI64::new(number),
            naming: AtomicI64::new(number),
            capacity: NOTES,
        }
    }

    /// Notes a row of the change log, before anything is done about it. `names` says whether the
    /// row can have made a name lead somewhere.
    pub(crate) fn note(&self, tenant: TenantId, number: i64, names: bool) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        recent.of.insert(tenant, number);
        recent.order.push_back((number, tenant));
        while recent.order.len() > self.capacity {
            if let Some((old, tenant)) = recent.order.pop_front() {
                if recent.of.get(&tenant) == Some(&old) {
                    recent.of.remove(&tenant);
                }
                recent.floor = recent.floor.max(old);
            }
        }
        self.newest.fetch_max(number, Ordering::AcqRel);
        if names {
            self.naming.fetch_max(number, Ordering::AcqRel);
        }
    }

    /// Rows were lost: nothing that was read before `number` may be used, whomever it is about.
    pub(crate) fn forget_before(&self, number: i64) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        recent.floor = recent.floor.max(number);
        self.newest.fetch_max(number, Ordering::AcqRel);
        self.naming.fetch_max(number, Ordering::AcqRel);
    }

    /// Whether what was read at `read_at` about this tenant may be stored and used.
    pub(crate) fn is_fresh(&self, tenant: TenantId, read_at: i64) -> bool {
        if read_at >= self.newest.load(Ordering::Acquire) {
            return true;
        }
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let applied = recent.of.get(&tenant).copied().unwrap_or(0);
        read_at >= applied.max(recent.floor)
    }

    /// Whether a name (or id) that led nowhere at `read_at` can still be taken to lead nowhere.
    pub(crate) fn absent_is_fresh(&self, read_at: i64) -> bool {
        read_at >= self.naming.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(n))
    }

    /// Tried: with no row looked at, the old fill is fresh; with the newest of all, another tenant's is stale.
    #[test]
    fn a_later_row_of_the_same_tenant_makes_a_fill_stale_and_of_another_does_not() {
        let versions = Versions::starting_at(5);
        assert!(versions.is_fresh(tenant(1), 5));
        versions.note(tenant(1), 6, false);
        assert!(!versions.is_fresh(tenant(1), 5));
        assert!(versions.is_fresh(tenant(1), 6));
        assert!(versions.is_fresh(tenant(2), 5));
        assert!(versions.absent_is_fresh(5));
        versions.note(tenant(2), 7, true);
        assert!(!versions.absent_is_fresh(6));
        assert!(versions.absent_is_fresh(7));
    }

    /// Tried: with a floor that does not rise when a note is forgotten.
    #[test]
    fn a_forgotten_note_still_makes_older_fills_stale() {
        let versions = Versions {
            capacity: 2,
            ..Versions::starting_at(0)
        };
        for n in 1..=4_i32 {
            versions.note(tenant(n.unsigned_abs().into()), n.into(), false);
        }
        assert!(
            !versions.is_fresh(tenant(1), 0),
            "its note is gone, the floor stands in"
        );
        assert!(!versions.is_fresh(tenant(9), 1), "and for everybody");
        assert!(versions.is_fresh(tenant(9), 2));
        assert!(!versions.is_fresh(tenant(4), 3));
    }

    /// Tried: with `forget_before` leaving the floor where it is.
    #[test]
    fn lost_rows_make_everything_stale() {
        let versions = Versions::starting_at(3);
        versions.forget_before(9);
        assert!(!versions.is_fresh(tenant(1), 8));
        assert!(!versions.absent_is_fresh(8));
        assert!(versions.is_fresh(tenant(1), 9));
    }
}
