//! What the lock of a cluster guards, and the rules by which slots and connections move.
//!
//! Nothing here waits, and nothing that holds a slot is dropped here: a slot's drop takes the lock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Grant;
use super::share::Held;
use crate::generation::Generation;
use crate::pools::{Backend, Lease, Open, Slot};

#[derive(Default)]
pub(super) struct State {
    pub(super) limit: usize,
    pub(super) share: Held,
    /// Slots taken: opening, leased, idle and closing.
    pub(super) open: usize,
    /// Of these, idle connections that are being closed to make room.
    pub(super) closing: usize,
    /// Numbers waiters, idle connections and leases in the order of their coming.
    pub(super) clock: u64,
    pub(super) pools: HashMap<u64, Pool>,
    /// Idle connections of all pools, oldest first: number -> pool.
    pub(super) lru: BTreeMap<u64, u64>,
    /// Pools with waiters and below their cap: number of the oldest waiter -> pool.
    pub(super) ready: BTreeMap<u64, u64>,
    /// A connection was found broken at this moment; what has been idle since before is suspect.
    pub(super) suspect: Option<Instant>,
    /// Connections closed so far, by [`Why`].
    pub(super) closed: [u64; 3],
}

/// Why a connection that nobody uses is closed.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// Unused for too long.
    Idle,
    /// Another pool needs its slot, or the budget shrank.
    Room,
    /// Its generation is retired.
    Retired,
}

pub(super) struct Pool {
    pub(super) generation: Arc<Generation>,
    pub(super) total: usize,
    pub(super) closing: usize,
    /// Oldest in front; the newest is taken, so that the rest can age.
    pub(super) idle: VecDeque<Idle>,
    pub(super) leased: HashMap<u64, Backend>,
    pub(super) waiters: BTreeMap<u64, oneshot::Sender<Grant>>,
    pub(super) ready_as: Option<u64>,
}

pub(super) struct Idle {
    pub(super) number: u64,
    pub(super) open: Open,
}

/// What is to be done after the lock was let go.
#[derive(Default)]
pub(super) struct After {
    pub(super) close: Vec<Open>,
    pub(super) close_quietly: Vec<Open>,
    /// Grants that nobody took: dropping one gives back what it holds.
    pub(super) drop: Vec<Grant>,
}

impl State {
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The pool of a generation, born now if there is none.
    pub(super) fn pool(&mut self, generation: &Arc<Generation>) -> &mut Pool {
        self.pools.entry(generation.id).or_insert_with(|| Pool {
            generation: Arc::clone(generation),
            total: 0,
            closing: 0,
            idle: VecDeque::new(),
            leased: HashMap::new(),
            waiters: BTreeMap::new(),
            ready_as: None,
        })
    }

    pub(super) fn take_slot(&mut self, generation: &Arc<Generation>) -> Slot {
        self.open += 1;
        self.pool(generation).total += 1;
        Slot::new(Arc::clone(generation), self.share.incarnation)
    }

    /// The newest idle connection of a generation, as a lease.
    pub(super) fn take_idle(&mut self, generation: &Arc<Generation>) -> Option<Lease> {
        let idle = self.pools.get_mut(&generation.id)?.idle.pop_back()?;
        self.lru.remove(&idle.number);
        Some(self.lease(idle.open))
    }

    pub(super) fn lease(&mut self, open: Open) -> Lease {
        let number = self.tick();
        let generation = Arc::clone(open.generation());
        self.pool(&generation).leased.insert(number, open.backend);
        Lease::new(open, number)
    }

    /// A connection that nobody uses: to the oldest waiter if that is one of its own pool, closed
    /// for the oldest waiter if that is another's and all slots are taken, else kept.
    pub(super) fn put_idle(&mut self, open: Open, cap: usize, after: &mut After) {
        let generation = Arc::clone(open.generation());
        let own = self
            .pool(&generation)
            .waiters
            .first_key_value()
            .map(|(number, _)| *number);
        let other = self.ready.first_key_value().map(|(number, _)| *number);
        let full = self.open >= self.limit;
        let for_another = full
            && other.is_some_and(|other| own.is_none_or(|own| other < own))
            && !self.is_covered(cap);
        if for_another {
            self.close(open, false, Why::Room, after);
            return;
        }
        let waiter = own.and_then(|own| self.pool(&generation).waiters.remove(&own));
        if let Some(waiter) = waiter {
            let lease = self.lease(open);
            after.give(waiter, Grant::Lease(lease));
            self.refresh(generation.id, cap);
            return;
        }
        let number = self.tick();
        self.lru.insert(number, generation.id);
        self.pool(&generation).idle.push_back(Idle { number, open });
    }

    /// The connection, of all pools, that has been idle longest.
    pub(super) fn oldest(&mut self) -> Option<Open> {
        let (number, pool) = self.lru.pop_first()?;
        let idle = self.pools.get_mut(&pool)?.idle.pop_front()?;
        debug_assert_eq!(
            idle.number, number,
            "a pool's oldest idle connection is in front"
        );
        Some(idle.open)
    }

    /// The connection of one pool that has been idle longest.
    pub(super) fn oldest_of(&mut self, pool: u64) -> Option<Open> {
        let idle = self.pools.get_mut(&pool)?.idle.pop_front()?;
        self.lru.remove(&idle.number);
        Some(idle.open)
    }

    /// Begins to close a connection. Quietly only while nobody needs its slot soon: see
    /// [`crate::closing`].
    pub(super) fn close(&mut self, mut open: Open, quietly: bool, why: Why, after: &mut After) {
        self.closed[why as usize] += 1;
        open.mark_closing();
        self.closing += 1;
        if let Some(pool) = self.pools.get_mut(&open.generation().id) {
            pool.closing += 1;
        }
        if quietly && self.ready.is_empty() && self.open < self.limit {
            after.close_quietly.push(open);
        } else {
            after.close.push(open);
        }
    }

    /// Sends every waiter of a pool away.
    pub(super) fn dismiss(
        &mut self,
        pool: u64,
        cap: usize,
        grant: impl Fn() -> Grant,
        after: &mut After,
    ) {
        if let Some(pool) = self.pools.get_mut(&pool) {
            for (_, waiter) in std::mem::take(&mut pool.waiters) {
                after.give(waiter, grant());
            }
        }
        self.refresh(pool, cap);
    }

    /// Brings `ready` up to date with a pool that changed, and frees a pool that is empty.
    pub(super) fn refresh(&mut self, id: u64, cap: usize) {
        let Some(pool) = self.pools.get_mut(&id) else {
            return;
        };
        let oldest = pool.waiters.first_key_value().map(|(number, _)| *number);
        let wanted = oldest.filter(|_| pool.total < cap);
        if pool.ready_as != wanted {
            if let Some(number) = pool.ready_as {
                self.ready.remove(&number);
            }
            if let Some(number) = wanted {
                self.ready.insert(number, id);
            }
            pool.ready_as = wanted;
        }
        if pool.total == 0 && pool.waiters.is_empty() {
            self.pools.remove(&id);
        }
    }

    /// Gives free slots to those who wait, and begins to make room for the rest.
    pub(super) fn pump(&mut self, cap: usize, after: &mut After) {
        while self.open.saturating_sub(self.closing) > self.limit {
            let Some(open) = self.oldest() else { break };
            self.close(open, false, Why::Room, after);
        }
        while self.open < self.limit {
            let Some((number, id)) = self.ready.first_key_value().map(|(n, id)| (*n, *id)) else {
                break;
            };
            let Some(pool) = self.pools.get_mut(&id) else {
                break;
            };
            let generation = Arc::clone(&pool.generation);
            let waiter = pool.waiters.remove(&number);
            let slot = self.take_slot(&generation);
            match waiter {
                Some(waiter) => after.give(waiter, Grant::Slot(slot)),
                None => after.drop.push(Grant::Slot(slot)),
            }
            self.refresh(id, cap);
        }
        while !self.ready.is_empty() && !self.is_covered(cap) {
            let Some(open) = self.oldest() else { break };
            self.close(open, false, Why::Room, after);
        }
    }

    /// Whether as many slots are about to become free as waiters could use.
    fn is_covered(&self, cap: usize) -> bool {
        let mut wanted = 0;
        for pool in self.ready.values().filter_map(|id| self.pools.get(id)) {
            wanted += pool.waiters.len().min(cap.saturating_sub(pool.total));
            if wanted > self.closing {
                return false;
            }
        }
        true
    }
}

impl After {
    fn give(&mut self, waiter: oneshot::Sender<Grant>, grant: Grant) {
        if let Err(grant) = waiter.send(grant) {
            self.drop.push(grant);
        }
    }
}
