//! Which tenants have most of something, in constant room: the space-saving sketch of Metwally,
//! Agrawal and El Abbadi ("Efficient computation of frequent and top-k elements in data streams",
//! 2005), with counts that decay.
//!
//! A tenant that has no slot takes the one with the least weight, and that weight becomes its error:
//! it may have had so much before, or nothing. What is told is weight less error, so that nobody is
//! accused of what others did. Whoever has more than one event in [`SLOTS`] is never missed.

use std::collections::HashMap;
use std::time::Duration;

use tenantry_types::TenantId;
use tokio::time::Instant;

use super::{Ranked, largest};

/// Tenants that are kept: some times more than are told of.
const SLOTS: usize = 128;
/// Weights are brought back to the present before an event weighs more than this.
const HEAVY: f64 = 1e9;

/// The sketch.
pub(super) struct Top {
    half_life: Duration,
    /// An event at this moment weighs 1, a later one more: old ones need not be touched to decay.
    origin: Instant,
    slots: Vec<Slot>,
    places: HashMap<TenantId, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tenant: TenantId,
    weight: f64,
    error: f64,
}

impl Top {
    pub(super) fn new(half_life: Duration, now: Instant) -> Self {
        Self {
            half_life,
            origin: now,
            slots: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// One event of a tenant. The search for the lightest slot is over a constant number of them.
    pub(super) fn add(&mut self, tenant: TenantId, now: Instant) {
        let mut unit = self.unit(now);
        if unit > HEAVY {
            for slot in &mut self.slots {
                slot.weight /= unit;
                slot.error /= unit;
            }
            self.origin = now;
            unit = 1.0;
        }
        if let Some(place) = self.places.get(&tenant) {
            self.slots[*place].weight += unit;
            return;
        }
        let fresh = |error: f64| Slot {
            tenant,
            weight: error + unit,
            error,
        };
        if self.slots.len() < SLOTS {
            self.places.insert(tenant, self.slots.len());
            self.slots.push(fresh(0.0));
            return;
        }
        let lightest = (0..self.slots.len())
            .min_by(|a, b| self.slots[*a].weight.total_cmp(&self.slots[*b].weight));
        if let Some(place) = lightest {
            let former = self.slots[place];
            self.places.remove(&former.tenant);
            self.places.insert(tenant, place);
            self.slots[place] = fresh(former.weight);
        }
    }

    /// Who has most, the most first.
    pub(super) fn ranked(&self, most: usize, now: Instant) -> Vec<Ranked> {
        let unit = self.unit(now);
        let all = self.slots.iter().map(|slot| Ranked {
            tenant: slot.tenant,
            count: slot.count(unit),
        });
        largest(all.collect(), most)
    }

    /// How much a tenant has, at least.
    pub(super) fn of(&self, tenant: TenantId, now: Instant) -> u64 {
        let place = self.places.get(&tenant);
        place.map_or(0, |place| self.slots[*place].count(self.unit(now)))
    }

    /// What an event weighs now.
    fn unit(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.origin);
        (age.as_secs_f64() / self.half_life.as_secs_f64()).exp2()
    }
}

impl Slot {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "neither negative nor larger than the number of events"
    )]
    fn count(&self, unit: f64) -> u64 {
        ((self.weight - self.error) / unit).round().max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_LIFE: Duration = Duration::from_secs(300);

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(number))
    }

    /// Seen to fail with `min_by` turned into `max_by` (the noisy ones are pushed out), and with
    /// `count` that keeps the error in (a tenant with one event is told with dozens).
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_tenants_takes_no_room_and_hides_nobody_who_has_many() {
        let now = Instant::now();
        let mut top = Top::new(HALF_LIFE, now);
        for number in 0..100_000 {
            top.add(tenant(1_000 + number % 5_000), now);
            if number % 20 == 0 {
                top.add(tenant(1), now);
            }
            if number % 40 == 0 {
                top.add(tenant(2), now);
            }
        }
        assert_eq!(top.slots.len(), SLOTS);
        assert_eq!(top.places.len(), SLOTS);
        let ranked = top.ranked(20, now);
        assert!(ranked.len() <= 20);
        let (first, second) = (ranked[0], ranked[1]);
        assert_eq!((first.tenant, second.tenant), (tenant(1), tenant(2)));
        assert!((4_500..=5_000).contains(&first.count), "{first:?}");
        assert!((2_000..=2_500).contains(&second.count), "{second:?}");
        let most = ranked[2..].iter().map(|one| one.count).max();
        assert!(most <= Some(20), "nobody else had more than 20: {most:?}");
    }

    /// Seen to fail with a `unit` that is always 1.
    #[tokio::test(start_paused = true)]
    async fn what_is_long_ago_counts_less_and_then_nothing() {
        let begun = Instant::now();
        let mut top = Top::new(HALF_LIFE, begun);
        for _ in 0..8 {
            top.add(tenant(1), begun);
        }
        let later = begun + HALF_LIFE;
        for _ in 0..5 {
            top.add(tenant(2), later);
        }
        let told = |top: &Top, now| {
            let ranked = top.ranked(20, now);
            ranked.iter().map(|one| one.count).collect::<Vec<_>>()
        };
        assert_eq!(told(&top, later), [5, 4]);
        assert_eq!(top.ranked(1, later)[0].tenant, tenant(2));
        assert_eq!(told(&top, later + 6 * HALF_LIFE), [0; 0]);
        // Much later weights are brought back, and an event is still one event.
        let much_later = begun + 1_000 * HALF_LIFE;
        top.add(tenant(3), much_later);
        assert_eq!(told(&top, much_later), [1]);
    }
}
