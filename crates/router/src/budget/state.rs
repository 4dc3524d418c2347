//! What the lock of a cluster guards, and the rules by which slots and connections move.
//!
//! Nothing here waits, and nothing that holds a slot is dropped here: a slot's drop takes the lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::share::Held;
use super::{Grant, Limit, Rules};
use crate::generation::Generation;
use crate::pools::{Backend, Lease, Open, Phase, Slot};

/// A connection serves its own tenant's queue for this long before another tenant with as few
/// connections gets its turn: less often than that, slots would be spent on connecting.
const QUANTUM: Duration = Duration::from_millis(25);

pub(super) struct State {
    pub(super) rules: Rules,
    pub(super) limit: usize,
    pub(super) share: Held,
    /// Slots taken: opening, late, leased, idle, closing and parked.
    pub(super) open: usize,
    /// Of these, connections that are being opened.
    pub(super) opening: usize,
    /// Of these, attempts that the server has not answered in time.
    pub(super) late: usize,
    /// Of these, connections whose end was not seen, or that are closed so that nobody sees it.
    pub(super) parked: usize,
    /// Of these, connections that are being closed while somebody looks for the end.
    pub(super) closing: usize,
    /// Waiters of all pools.
    pub(super) waiting: usize,
    /// Numbers waiters, idle connections and leases in the order of their coming.
    pub(super) clock: u64,
    pub(super) pools: HashMap<u64, Pool>,
    /// Idle connections of all pools, oldest first: number -> pool.
    pub(super) lru: BTreeMap<u64, u64>,
    /// Pools with waiters that may have one more connection; the first one's turn it is.
    pub(super) ready: BTreeSet<Turn>,
    /// How many connections the pools in `ready` could use.
    pub(super) wanted: usize,
    /// Pools with waiters by how many: (waiters, pool).
    pub(super) queues: BTreeSet<(usize, u64)>,
    /// A connection was found broken at this moment; what has been idle since before is suspect.
    pub(super) suspect: Option<Instant>,
    pub(super) breaker: Breaker,
    /// The router ends: nobody gets anything.
    pub(super) shut: bool,
    /// Connections closed so far, by [`Why`].
    pub(super) closed: [u64; 3],
}

/// When it is a pool's turn: first those with the fewest connections; among them the one that got
/// something longest ago, or, if it got nothing since it began to wait, that has waited longest.
///
/// So nobody is starved. A pool that waits keeps its place while every pool that is served, or comes
/// anew, moves behind it; only pools with fewer connections go before it, and with each one more
/// those have no longer fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) held: usize,
    pub(super) since: u64,
    pub(super) pool: u64,
}

/// Why a connection that nobody uses is closed.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// Unused for too long.
    Idle,
    /// Another pool needs its slot, or the budget or the tenant's part of it shrank.
    Room,
    /// Its generation is retired.
    Retired,
}

pub(super) struct Pool {
    pub(super) generation: Arc<Generation>,
    pub(super) total: usize,
    pub(super) opening: usize,
    pub(super) late: usize,
    pub(super) closing: usize,
    pub(super) parked: usize,
    /// Oldest in front; the newest is taken, so that the rest can age.
    pub(super) idle: VecDeque<Idle>,
    pub(super) leased: HashMap<u64, Backend>,
    waiters: BTreeMap<u64, oneshot::Sender<Grant>>,
    /// The number of what it was given last.
    served: u64,
    /// As `ready`, `wanted` and `queues` have it.
    listed: Listed,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Listed {
    turn: Option<Turn>,
    wants: usize,
    waiters: usize,
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

impl Pool {
    /// Connections that are of use to it, or may become so: all but those that end.
    pub(super) fn held(&self) -> usize {
        self.total
            .saturating_sub(self.closing)
            .saturating_sub(self.parked)
    }

    /// Whether it may have one more connection, as far as it is concerned.
    fn may_open(&self, rules: &Rules) -> bool {
        self.total < self.generation.cap() && self.opening < rules.connects_per_tenant()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Its requests that a slot would help.
    pub(super) fn short(&self) -> usize {
        let room = self.generation.cap().saturating_sub(self.total);
        self.waiters.len().min(room)
    }

    fn turn(&self, held: usize) -> Option<Turn> {
        let (oldest, _) = self.waiters.first_key_value()?;
        Some(Turn {
            held,
            since: self.served.max(*oldest),
            pool: self.generation.id,
        })
    }

    fn as_listed(&self, rules: &Rules) -> Listed {
        let turn = self.turn(self.held()).filter(|_| self.may_open(rules));
        let permits = rules.connects_per_tenant().saturating_sub(self.opening);
        Listed {
            turn,
            wants: match turn {
                Some(_) => self.short().min(permits),
                None => 0,
            },
            waiters: self.waiters.len(),
        }
    }
}

impl State {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            limit: 0,
            share: Held::default(),
            open: 0,
            opening: 0,
            late: 0,
            parked: 0,
            closing: 0,
            waiting: 0,
            clock: 0,
            pools: HashMap::new(),
            lru: BTreeMap::new(),
            ready: BTreeSet::new(),
            wanted: 0,
            queues: BTreeSet::new(),
            suspect: None,
            breaker: Breaker::default(),
            shut: false,
            closed: [0; 3],
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The pool of a generation, born now if there is none.
    pub(super) fn pool(&mut self, generation: &Arc<Generation>) -> &mut Pool {
        self.pools.entry(generation.id).or_insert_with(|| Pool {
            generation: Arc::clone(generation),
            total: 0,
            opening: 0,
            late: 0,
            closing: 0,
            parked: 0,
            idle: VecDeque::new(),
            leased: HashMap::new(),
            waiters: BTreeMap::new(),
            served: 0,
            listed: Listed::default(),
        })
    }

    /// Whether a slot can be had at once, without closing anything and without passing anybody.
    pub(super) fn has_room(&self, generation: &Arc<Generation>) -> bool {
        let pool = self.pools.get(&generation.id);
        self.open < self.limit
            && self.opening < self.rules.connects
            && self.ready.is_empty()
            && pool.map_or(generation.cap() > 0, |pool| {
                pool.waiters.is_empty() && pool.may_open(&self.rules)
            })
    }

    pub(super) fn take_slot(&mut self, generation: &Arc<Generation>) -> Slot {
        self.open += 1;
        self.opening += 1;
        let number = self.tick();
        let pool = self.pool(generation);
        pool.total += 1;
        pool.opening += 1;
        pool.served = number;
        let incarnation = self.share.incarnation;
        Slot::new(Arc::clone(generation), incarnation)
    }

    /// Counts a slot as what it now is.
    pub(super) fn turn_into(&mut self, slot: &mut Slot, phase: Phase) {
        let id = slot.generation.id;
        let was = slot.become_phase(phase);
        self.count(id, was, false);
        self.count(id, phase, true);
        self.refresh(id);
    }

    /// One more, or one less, in a phase.
    pub(super) fn count(&mut self, id: u64, phase: Phase, more: bool) {
        let change = |count: &mut usize| match more {
            true => *count += 1,
            false => *count = count.saturating_sub(1),
        };
        let pool = self.pools.get_mut(&id);
        let (all, pools) = match phase {
            Phase::Open => return,
            Phase::Opening => (&mut self.opening, pool.map(|pool| &mut pool.opening)),
            Phase::Late => (&mut self.late, pool.map(|pool| &mut pool.late)),
            Phase::Closing => (&mut self.closing, pool.map(|pool| &mut pool.closing)),
            Phase::Parked => (&mut self.parked, pool.map(|pool| &mut pool.parked)),
        };
        change(all);
        if let Some(of_pool) = pools {
            change(of_pool);
        }
    }

    /// Whether as many attempts of this generation hang as may: one more would hang as well.
    pub(super) fn hangs(&self, generation: &Generation) -> bool {
        let pool = self.pools.get(&generation.id);
        pool.is_some_and(|pool| pool.late >= self.rules.connects_per_tenant())
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
        let pool = self.pool(&generation);
        pool.leased.insert(number, open.backend);
        pool.served = number;
        Lease::new(open, number)
    }

    /// Somebody begins to wait; the number is needed to leave.
    pub(super) fn wait(
        &mut self,
        generation: &Arc<Generation>,
        sender: oneshot::Sender<Grant>,
    ) -> u64 {
        let number = self.tick();
        self.pool(generation).waiters.insert(number, sender);
        self.waiting += 1;
        self.refresh(generation.id);
        number
    }

    /// Takes a waiter out of the queue. Callers refresh.
    pub(super) fn take_waiter(&mut self, pool: u64, number: u64) -> Option<oneshot::Sender<Grant>> {
        let waiter = self.pools.get_mut(&pool)?.waiters.remove(&number)?;
        self.waiting = self.waiting.saturating_sub(1);
        Some(waiter)
    }

    /// Whether one more may wait for this generation. Where the cluster's queue is full, the newest
    /// of the longest queue goes for one with a shorter queue: a tenant that asks for much fills its
    /// own place and not everybody's.
    pub(super) fn admit_waiter(
        &mut self,
        generation: &Generation,
        after: &mut After,
    ) -> Result<(), Limit> {
        let own = self.pools.get(&generation.id);
        let own = own.map_or(0, |pool| pool.waiters.len());
        if own >= self.rules.waiters_per_tenant {
            return Err(Limit::Tenant);
        }
        if self.waiting < self.rules.waiters_per_cluster {
            return Ok(());
        }
        let Some(&(length, longest)) = self.queues.last().filter(|(length, _)| *length > own + 1)
        else {
            return Err(Limit::Cluster);
        };
        debug_assert!(
            length > 1,
            "a queue that is longer than another and one more"
        );
        let pool = self.pools.get(&longest);
        let newest = pool.and_then(|pool| pool.waiters.last_key_value());
        if let Some(number) = newest.map(|(number, _)| *number)
            && let Some(waiter) = self.take_waiter(longest, number)
        {
            after.give(waiter, Grant::Busy(Limit::Cluster));
        }
        self.refresh(longest);
        Ok(())
    }

    /// A connection that nobody uses: closed if its tenant has too many or it is another's turn and
    /// all slots are taken; else to the oldest waiter of its own pool, or kept.
    pub(super) fn put_idle(&mut self, open: Open, after: &mut After) {
        let generation = Arc::clone(open.generation());
        let id = generation.id;
        let pool = self.pool(&generation);
        let held = pool.held();
        if held > generation.cap() {
            return self.close(open, true, Why::Room, after);
        }
        // As if it had been given back already.
        let own = pool.turn(held.saturating_sub(1));
        if self.open >= self.limit && !self.is_covered() {
            let other = self.ready.iter().find(|turn| turn.pool != id);
            let yields = other.is_some_and(|other| {
                own.is_none_or(|own| {
                    let young = || open.opened_at.elapsed() < QUANTUM;
                    *other < own && !(other.held == own.held && young())
                })
            });
            if yields {
                return self.close(open, false, Why::Room, after);
            }
        }
        // Mostly nobody waits, and this is on every request's way.
        let oldest = own.and_then(|_| self.pool(&generation).waiters.keys().next().copied());
        if let Some(waiter) = oldest.and_then(|number| self.take_waiter(id, number)) {
            let lease = self.lease(open);
            after.give(waiter, Grant::Lease(lease));
            self.refresh(id);
            return;
        }
        let number = self.tick();
        self.lru.insert(number, id);
        self.pool(&generation).idle.push_back(Idle { number, open });
    }

    /// The connection, of all pools, that has been idle longest. The witness only when there is no other.
    pub(super) fn oldest(&mut self) -> Option<Open> {
        let witness = self.witness();
        let mut numbers = self.lru.keys().copied();
        let number = numbers.find(|number| Some(*number) != witness);
        self.take_number(number.or(witness)?)
    }

    /// The newest idle connection that shows, if it answers, that our connections were not ended since
    /// our lease ran; see [`Open::witness`].
    pub(super) fn witness(&self) -> Option<u64> {
        let mut numbers = self.lru.keys().rev().copied();
        numbers.find(|number| self.idle(*number).is_some_and(|open| open.witness))
    }

    /// An idle connection.
    pub(super) fn idle(&self, number: u64) -> Option<&Open> {
        let idle = &self.pools.get(self.lru.get(&number)?)?.idle;
        let at = idle.binary_search_by_key(&number, |idle| idle.number);
        Some(&idle.get(at.ok()?)?.open)
    }

    /// Takes an idle connection out.
    pub(super) fn take_number(&mut self, number: u64) -> Option<Open> {
        let pool = self.lru.remove(&number)?;
        let idle = &mut self.pools.get_mut(&pool)?.idle;
        let at = idle.binary_search_by_key(&number, |idle| idle.number);
        debug_assert!(at.is_ok(), "an idle connection is listed where it is");
        Some(idle.remove(at.ok()?)?.open)
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
        if self.end(&mut open.slot, quietly) {
            after.close_quietly.push(open);
        } else {
            after.close.push(open);
        }
    }

    /// Counts a slot as one whose connection is being closed; says whether quietly. One that is closed
    /// quietly is no slot that is about to be free: nobody waits for its end, and it is looked at in its
    /// own time. Who begins to wait after that needs another.
    pub(super) fn end(&mut self, slot: &mut Slot, quietly: bool) -> bool {
        let quietly = quietly && self.ready.is_empty() && self.open < self.limit;
        let phase = match quietly {
            true => Phase::Parked,
            false => Phase::Closing,
        };
        self.turn_into(slot, phase);
        quietly
    }

    /// Sends every waiter of a pool away.
    pub(super) fn dismiss(&mut self, id: u64, grant: impl Fn() -> Grant, after: &mut After) {
        if let Some(pool) = self.pools.get_mut(&id) {
            let waiters = std::mem::take(&mut pool.waiters);
            self.waiting = self.waiting.saturating_sub(waiters.len());
            for (_, waiter) in waiters {
                after.give(waiter, grant());
            }
        }
        self.refresh(id);
    }

    /// Sends every waiter away.
    pub(super) fn dismiss_all(&mut self, grant: impl Fn() -> Grant, after: &mut After) {
        while let Some((_, pool)) = self.queues.last().copied() {
            self.dismiss(pool, &grant, after);
        }
    }

    /// Brings the lists up to date with a pool that changed, and frees a pool that is empty.
    pub(super) fn refresh(&mut self, id: u64) {
        let Some(pool) = self.pools.get_mut(&id) else {
            return;
        };
        let is = pool.as_listed(&self.rules);
        let was = std::mem::replace(&mut pool.listed, is);
        let empty = pool.total == 0 && pool.waiters.is_empty();
        if was.turn != is.turn {
            if let Some(turn) = was.turn {
                self.ready.remove(&turn);
            }
            self.ready.extend(is.turn);
        }
        self.wanted = (self.wanted + is.wants).saturating_sub(was.wants);
        if was.waiters != is.waiters {
            self.queues.remove(&(was.waiters, id));
            if is.waiters > 0 {
                self.queues.insert((is.waiters, id));
            }
        }
        if empty {
            self.pools.remove(&id);
        }
    }

    /// Connections that somebody ends already.
    pub(super) fn ending(&self) -> usize {
        self.closing + self.parked
    }

    /// Gives free slots to those who wait, and begins to make room for the rest.
    pub(super) fn pump(&mut self, after: &mut After) {
        while self.open.saturating_sub(self.ending()) > self.limit {
            let Some(open) = self.oldest() else { break };
            self.close(open, false, Why::Room, after);
        }
        while self.open < self.limit && self.opening < self.rules.connects {
            let Some(Turn { pool: id, .. }) = self.ready.first().copied() else {
                break;
            };
            let Some(pool) = self.pools.get(&id) else {
                break;
            };
            let generation = Arc::clone(&pool.generation);
            let oldest = pool.waiters.first_key_value().map(|(number, _)| *number);
            let waiter = oldest.and_then(|number| self.take_waiter(id, number));
            let slot = self.take_slot(&generation);
            match waiter {
                Some(waiter) => after.give(waiter, Grant::Slot(slot)),
                None => after.drop.push(Grant::Slot(slot)),
            }
            self.refresh(id);
        }
        while !self.ready.is_empty() && !self.is_covered() {
            let Some(open) = self.oldest() else { break };
            self.close(open, false, Why::Room, after);
        }
    }

    /// Whether as many slots are free or about to become free as waiters could use now: no more
    /// than may connect at a time.
    pub(super) fn is_covered(&self) -> bool {
        let free = self.limit.saturating_sub(self.open);
        free + self.closing >= self.wanted.min(self.rules.connects)
    }
}

impl After {
    pub(super) fn give(&mut self, waiter: oneshot::Sender<Grant>, grant: Grant) {
        if let Err(grant) = waiter.send(grant) {
            self.drop.push(grant);
        }
    }
}

#[cfg(test)]
impl State {
    /// What the lists say is what the pools say, and nobody waits for what is free.
    pub(super) fn is_consistent(&self) {
        let sum = |of: fn(&Pool) -> usize| self.pools.values().map(of).sum::<usize>();
        assert_eq!(self.open, sum(|pool| pool.total));
        assert_eq!(self.opening, sum(|pool| pool.opening));
        assert_eq!(self.closing, sum(|pool| pool.closing));
        assert_eq!(self.late, sum(|pool| pool.late));
        assert_eq!(self.parked, sum(|pool| pool.parked));
        assert_eq!(self.waiting, sum(|pool| pool.waiters.len()));
        assert_eq!(self.lru.len(), sum(|pool| pool.idle.len()));
        let listed: Vec<_> = self
            .pools
            .values()
            .map(|pool| pool.as_listed(&self.rules))
            .collect();
        let ready: BTreeSet<Turn> = listed.iter().filter_map(|listed| listed.turn).collect();
        assert_eq!(self.ready, ready);
        assert_eq!(
            self.wanted,
            listed.iter().map(|listed| listed.wants).sum::<usize>()
        );
        let waits = |(id, pool): (&u64, &Pool)| (pool.waiters.len(), *id);
        let queues = self
            .pools
            .iter()
            .map(waits)
            .filter(|(waiters, _)| *waiters > 0);
        assert_eq!(self.queues, queues.collect());
        for pool in self.pools.values() {
            assert!(pool.total > 0 || !pool.waiters.is_empty(), "an empty pool");
            assert!(
                pool.idle.is_empty() || pool.waiters.is_empty(),
                "waits beside an idle one"
            );
        }
        let room = self.open < self.limit && self.opening < self.rules.connects;
        assert!(
            self.ready.is_empty() || !room,
            "somebody waits for what is free"
        );
    }
}
