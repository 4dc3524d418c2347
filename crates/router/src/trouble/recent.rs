//! The last few errors of the tenants that failed last, in constant room.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tenantry_types::{TenantId, Timestamp};

use super::Reason;

/// Tenants that are remembered; beyond that the one that failed longest ago is forgotten.
const TENANTS: usize = 1_024;
/// Errors of one tenant.
const EACH: usize = 5;

/// Something that went wrong, perhaps several times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The code for it.
    pub code: &'static str,
    /// Why.
    pub reason: Reason,
    /// When it happened first.
    pub first: Timestamp,
    /// When it happened last.
    pub last: Timestamp,
    /// How often in a row.
    pub times: u32,
}

/// The rings.
#[derive(Default)]
pub(super) struct Recent {
    clock: u64,
    tenants: HashMap<TenantId, Ring>,
    /// When each failed last, the one of longest ago first.
    order: BTreeMap<u64, TenantId>,
}

#[derive(Default)]
struct Ring {
    touched: u64,
    errors: VecDeque<Noted>,
}

impl Recent {
    pub(super) fn note(
        &mut self,
        tenant: TenantId,
        code: &'static str,
        reason: Reason,
        now: Timestamp,
    ) {
        self.clock += 1;
        if !self.tenants.contains_key(&tenant)
            && self.tenants.len() >= TENANTS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.tenants.remove(&oldest);
        }
        let ring = self.tenants.entry(tenant).or_default();
        self.order.remove(&ring.touched);
        self.order.insert(self.clock, tenant);
        ring.touched = self.clock;
        // The same again is one entry: a tenant that fails on each request keeps what came before.
        if let Some(same) = ring.errors.front_mut()
            && (same.code, same.reason) == (code, reason)
        {
            same.last = now;
            same.times = same.times.saturating_add(1);
            return;
        }
        ring.errors.truncate(EACH - 1);
        ring.errors.push_front(Noted {
            code,
            reason,
            first: now,
            last: now,
            times: 1,
        });
    }

    pub(super) fn of(&self, tenant: TenantId) -> Vec<Noted> {
        let ring = self.tenants.get(&tenant);
        ring.map_or_else(Vec::new, |ring| ring.errors.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use tenantry_types::Clock;

    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(number as u128))
    }

    /// Seen to fail without `pop_first` (it grows) and without the `remove` of the former number
    /// from `order` (a tenant that fails all the time is forgotten as if it had failed once).
    #[test]
    fn only_so_many_tenants_are_remembered_and_those_that_failed_last() {
        let clock = Clock::adjustable();
        let mut recent = Recent::default();
        for number in 0..3 * TENANTS {
            recent.note(tenant(0), "A", Reason::BudgetFull, clock.now());
            recent.note(tenant(1 + number), "A", Reason::BudgetFull, clock.now());
            assert!(recent.tenants.len() <= TENANTS);
            assert_eq!(recent.tenants.len(), recent.order.len());
        }
        assert_eq!(recent.of(tenant(1)), []);
        assert_eq!(recent.of(tenant(3 * TENANTS)).len(), 1);
        let loud = recent.of(tenant(0));
        assert_eq!(loud.len(), 1);
        assert_eq!(loud[0].times as usize, 3 * TENANTS);
    }

    /// Tried: with each error an entry of its own, three of one push out what came before.
    #[test]
    fn the_last_few_errors_are_kept_and_repetitions_are_counted() {
        let clock = Clock::adjustable();
        let mut recent = Recent::default();
        let codes = ["A", "B", "C", "D", "E", "F"];
        for code in codes {
            for _ in 0..3 {
                clock.advance(chrono::TimeDelta::seconds(1));
                recent.note(tenant(1), code, Reason::TimedOut, clock.now());
            }
        }
        let told = recent.of(tenant(1));
        let told_codes: Vec<_> = told.iter().map(|noted| noted.code).collect();
        assert_eq!(told_codes, ["F", "E", "D", "C", "B"]);
        assert!(told.iter().all(|noted| noted.times == 3));
        assert!(told[0].first < told[0].last && told[1].last < told[0].first);
    }
}
