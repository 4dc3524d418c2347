//! The slots of one cluster: how many connections this router may have open there, who holds them,
//! who waits, which idle connection goes first to make room, and whether its server answers at all.
//!
//! One lock per cluster, held for a few map operations and never across an await. Everything is
//! bounded by the slots and the waiters of the cluster; nothing depends on how many tenants exist.
//!
//! - A slot is taken before a connection is begun and given back after the server has ended it. Where
//!   that was not seen, it is parked, and looked after by [`crate::parked`]; where the server has not
//!   answered an attempt, by [`crate::late`]. Both count against the limit until then.
//! - A slot is given out only while fewer than `Rules::connects` connections are being opened: who
//!   waits for that waits in the same queue, holding nothing.
//! - A pool (the connections of one generation) is born with its first slot or waiter and freed
//!   with its last.
//! - Waiting is fair between tenants and in order within one: see [`state::Turn`]. It is bounded in
//!   number here and in time by the one who waits.
//! - `limit` is this router's share of the cluster's budget (`share.rs`): it may fall below what is
//!   open.
//! - While the breaker is not closed, nobody waits and nobody connects but the one that looks
//!   whether the server is back; connections that were in use a moment ago go on being used.

use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantry_types::{ClusterId, Entropy, TenantId};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use crate::generation::Generation;
use crate::inspect::PoolStats;
use crate::parked::{Lot, Parked};
use crate::pools::{Backend, Lease, Open, Phase, Slot};
use crate::router::ClusterStats;
use crate::tasks::Tasks;

mod breaker;
mod probe;
mod share;
mod state;
#[cfg(test)]
mod tests;
mod waiter;

pub use breaker::BreakerState;
pub(crate) use breaker::Trouble;
pub(crate) use probe::Probe;
use state::{After, State, Why};
pub(crate) use waiter::Waiter;

/// An idle connection younger than this is handed out unasked, as long as nothing is suspect.
const TRUSTED: Duration = Duration::from_secs(1);

/// One cluster as this router sees it.
pub(crate) struct Cluster {
    pub(crate) tasks: Tasks,
    /// Connections on top of the budget, for ending others: one at a time.
    pub(crate) reserve: Semaphore,
    entropy: Entropy,
    /// As in the state's share: for each request to look at without the lock.
    incarnation: AtomicI64,
    /// Connections whose end was not seen.
    pub(crate) lot: Lot,
    state: Mutex<State>,
    /// Told when there is something to report of the share.
    report_due: Arc<Notify>,
}

/// How many may do what at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) waiters_per_tenant: usize,
    pub(crate) waiters_per_cluster: usize,
    /// Connections that are being opened: the most that the server has not seen the login of.
    pub(crate) connects: usize,
}

impl Rules {
    /// One tenant whose database hangs must not keep all others from connecting.
    fn connects_per_tenant(&self) -> usize {
        self.connects.div_ceil(2)
    }
}

/// What somebody who asked for a connection gets.
pub(crate) enum Grant {
    /// One that was idle.
    Lease(Lease),
    /// Room for a new one.
    Slot(Slot),
    /// Too many wait.
    Busy(Limit),
    /// The generation was retired meanwhile: resolve again.
    Retired,
    /// Opening a connection for this tenant just failed: do not try another.
    Failing,
    /// The server does not answer; for about how long nobody looks.
    Down(Duration),
    /// The router ends.
    Shut,
}

/// The answer to [`Cluster::ask`].
pub(crate) enum Asked {
    Now(Grant),
    Wait(Waiter),
    /// The server does not answer: only with a [`Probe`].
    Down,
}

/// What somebody wants who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Any connection.
    Any,
    /// As one that holds the probe: idle connections too, though they have to be asked.
    Probe,
    /// As one that holds the probe and met a silent connection: a new one, if there is room.
    New,
}

/// What an open connection that did not answer means.
pub(crate) enum Silence {
    /// The server answers others: this connection is dead and no more.
    OfOne,
    /// Nobody was answered meanwhile: go on with a new connection, for everybody.
    Probe(Probe),
    /// Somebody else is looking, or nobody is to.
    Down(Duration),
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The tenant's own.
    Tenant,
    /// The cluster's budget.
    Cluster,
}

impl Limit {
    /// As a metric's label and a span's attribute say it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_busy",
            Self::Cluster => "budget_full",
        }
    }
}

/// Slots and connections of a cluster, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) open: usize,
    pub(crate) idle: usize,
    pub(crate) leased: usize,
    pub(crate) waiting: usize,
}

impl Cluster {
    pub(crate) fn new(
        rules: Rules,
        tasks: Tasks,
        entropy: Entropy,
        report_due: Arc<Notify>,
    ) -> Self {
        Self {
            tasks,
            reserve: Semaphore::new(1),
            entropy,
            incarnation: AtomicI64::new(0),
            lot: Lot::default(),
            state: Mutex::new(State::new(rules)),
            report_due,
        }
    }

    /// How many connections a tenant may have changed. Idle ones beyond it are closed now, leased
    /// ones when they come back.
    pub(crate) fn set_cap(self: &Arc<Self>, generation: &Arc<Generation>, cap: usize) {
        if generation.cap() == cap {
            return;
        }
        self.with(|state, after| {
            generation.set_cap(cap);
            let beyond = |state: &State| {
                let pool = state.pools.get(&generation.id);
                pool.is_some_and(|pool| pool.held() > cap)
            };
            while beyond(state) {
                let Some(open) = state.oldest_of(generation.id) else {
                    break;
                };
                state.close(open, true, Why::Room, after);
            }
            state.refresh(generation.id);
        });
    }

    /// Asks for a connection of a generation.
    pub(crate) fn ask(self: &Arc<Self>, generation: &Arc<Generation>, want: Want) -> Asked {
        self.with(|state, after| {
            if state.shut {
                return Asked::Now(Grant::Shut);
            }
            if generation.is_retired() {
                return Asked::Now(Grant::Retired);
            }
            let passes = want != Want::Any || state.breaker.is_closed();
            if want == Want::New && state.has_room(generation) {
                return Asked::Now(Grant::Slot(state.take_slot(generation)));
            }
            let pool = state.pools.get(&generation.id);
            if let Some(idle) = pool.and_then(|pool| pool.idle.back()) {
                let since = idle.open.idle_since;
                let trusted =
                    since.elapsed() < TRUSTED && state.suspect.is_none_or(|at| since > at);
                if !passes && !trusted {
                    return Asked::Down;
                }
                if let Some(mut lease) = state.take_idle(generation) {
                    lease.trusted = trusted;
                    return Asked::Now(Grant::Lease(lease));
                }
            }
            if !passes {
                return Asked::Down;
            }
            if state.hangs(generation) {
                return Asked::Now(Grant::Failing);
            }
            if state.has_room(generation) {
                return Asked::Now(Grant::Slot(state.take_slot(generation)));
            }
            // To look once more there is no room, but any of those that look already may be answered.
            if want != Want::Any && !state.breaker.is_closed() && state.late + state.parked > 0 {
                let pause = state.breaker.pauses_for(Instant::now());
                return Asked::Now(Grant::Down(pause));
            }
            if let Err(limit) = state.admit_waiter(generation, after) {
                return Asked::Now(Grant::Busy(limit));
            }
            let (sender, receiver) = oneshot::channel();
            let number = state.wait(generation, sender);
            Asked::Wait(Waiter {
                generation: Arc::clone(generation),
                number,
                receiver,
            })
        })
    }

    /// A slot if there is one without waiting and without closing anything.
    pub(crate) fn try_slot(self: &Arc<Self>, generation: &Arc<Generation>) -> Option<Slot> {
        self.with(|state, _| {
            let free = state.has_room(generation) && !state.shut && !generation.is_retired();
            free.then(|| state.take_slot(generation))
        })
    }

    /// A new connection is open and proven: it becomes a lease, or is closed if its generation was
    /// retired meanwhile.
    pub(crate) fn opened(self: &Arc<Self>, mut open: Open) -> Grant {
        self.with(|state, after| {
            let generation = Arc::clone(open.generation());
            state.turn_into(&mut open.slot, Phase::Open);
            state.breaker.lives(Instant::now());
            if generation.is_retired() || state.is_lost(open.incarnation()) {
                state.close(open, true, Why::Retired, after);
                return Grant::Retired;
            }
            let lease = state.lease(open);
            state.refresh(generation.id);
            Grant::Lease(lease)
        })
    }

    /// A leased connection comes back, clean and idle.
    pub(crate) fn put_back(self: &Arc<Self>, open: Open, lease: u64) {
        self.give_back(open, lease, false);
    }

    /// As [`Cluster::put_back`]. `answered`: it was asked something and the answer was read.
    pub(crate) fn give_back(self: &Arc<Self>, mut open: Open, lease: u64, answered: bool) {
        open.idle_since = Instant::now();
        self.with(|state, after| {
            if answered {
                state.breaker.lives(open.idle_since);
            }
            let generation = Arc::clone(open.generation());
            if let Some(pool) = state.pools.get_mut(&generation.id) {
                pool.leased.remove(&lease);
            }
            if generation.is_retired() || state.is_lost(open.incarnation()) {
                state.close(open, true, Why::Retired, after);
                generation.given_back.notify_waiters();
                return;
            }
            state.put_idle(open, after);
        });
    }

    /// A leased connection comes back and is not to be used again. It keeps its slot until `Open`
    /// is dropped.
    pub(crate) fn give_up(self: &Arc<Self>, generation: &Arc<Generation>, lease: u64) {
        self.with(|state, _| {
            if let Some(pool) = state.pools.get_mut(&generation.id) {
                pool.leased.remove(&lease);
            }
        });
        generation.given_back.notify_waiters();
    }

    /// For the drop of a [`Slot`] alone: the server has ended the connection.
    pub(crate) fn slot_free(self: &Arc<Self>, generation: &Arc<Generation>, phase: Phase) {
        self.with(|state, _| {
            state.open = state.open.saturating_sub(1);
            state.count(generation.id, phase, false);
            if let Some(pool) = state.pools.get_mut(&generation.id) {
                pool.total = pool.total.saturating_sub(1);
            }
            state.refresh(generation.id);
        });
        if generation.is_retired() {
            generation.given_back.notify_waiters();
        }
    }

    /// The end of a connection was not seen: its slot is kept until it is.
    pub(crate) fn park(self: &Arc<Self>, mut slot: Slot, backend: Backend) {
        self.with(|state, _| state.turn_into(&mut slot, Phase::Parked));
        slot.generation.given_back.notify_waiters();
        if self.lot.put(Parked::new(slot, backend)) {
            self.tasks.look_after(Arc::clone(self));
        }
    }

    /// An attempt was not answered in time. As many as may be under way at a time may be late besides; one
    /// more keeps its place among the former.
    pub(crate) fn late(self: &Arc<Self>, slot: &mut Slot) {
        self.with(|state, _| {
            if state.late < state.rules.connects {
                state.turn_into(slot, Phase::Late);
            }
        });
        slot.generation.given_back.notify_waiters();
    }

    /// Which of the two limits keeps this generation waiting.
    fn limit_met(self: &Arc<Self>, generation: &Generation) -> Limit {
        self.with(|state, _| match state.pools.get(&generation.id) {
            Some(pool) if pool.total >= generation.cap() => Limit::Tenant,
            _ => Limit::Cluster,
        })
    }

    /// A waiter leaves the queue, served or not.
    fn leave(generation: &Arc<Generation>, number: u64) {
        generation.cluster.with(|state, _| {
            if state.take_waiter(generation.id, number).is_some() {
                state.refresh(generation.id);
            }
        });
    }

    /// Opening failed: whoever waits for this generation is told now and not after a timeout.
    pub(crate) fn fail_waiters(self: &Arc<Self>, generation: &Arc<Generation>) {
        self.with(|state, after| state.dismiss(generation.id, || Grant::Failing, after));
    }

    /// The right to look whether the server is back, or for how long nobody will be let through.
    /// Nothing, when it is back already.
    pub(crate) fn probe(self: &Arc<Self>, tenant: TenantId) -> Result<Option<Probe>, Duration> {
        let number = self.with(|state, _| match state.breaker.is_closed() {
            true => Ok(None),
            false => state.breaker.probe(tenant, Instant::now()).map(Some),
        })?;
        Ok(number.map(|number| Probe::new(Arc::clone(self), number)))
    }

    /// For the drop of a [`Probe`] alone.
    fn abandon(self: &Arc<Self>, probe: u64) {
        self.with(|state, _| state.breaker.abandon(probe, Instant::now()));
    }

    /// The server gave a sign of life.
    pub(crate) fn lives(self: &Arc<Self>) {
        self.with(|state, _| state.breaker.lives(Instant::now()));
    }

    /// Opening a connection, begun at `begun`, failed in a way that says something about the server.
    /// When that opens the breaker, whoever waits is told. `true`: it is not the tenant's trouble,
    /// as far as is known.
    pub(crate) fn failed(
        self: &Arc<Self>,
        generation: &Generation,
        trouble: Trouble,
        probe: Option<&Probe>,
        begun: Instant,
    ) -> bool {
        let probe = probe.map(|probe| probe.number);
        // 53 bits, as many as a float holds.
        let random = u64::from_le_bytes(self.entropy.bytes()) >> 11;
        let chance = random as f64 / (1_u64 << 53) as f64;
        self.with(|state, after| {
            let now = Instant::now();
            let breaker = &mut state.breaker;
            if breaker.failed(generation.tenant, trouble, probe, begun, now, chance) {
                let pause = breaker.pauses_for(now);
                state.dismiss_all(|| Grant::Down(pause), after);
            }
            !state.breaker.is_closed()
        })
    }

    /// An open connection, asked at `begun`, did not answer.
    pub(crate) fn silent(self: &Arc<Self>, tenant: TenantId, begun: Instant) -> Silence {
        let number = self.with(|state, _| {
            let now = Instant::now();
            state.suspect = Some(now);
            if state.breaker.lived_since(begun) {
                return Ok(None);
            }
            let probe = state.breaker.silent(tenant);
            // Who waits goes on to wait until the look failed too: it may be this connection alone.
            probe.map(Some).ok_or(state.breaker.pauses_for(now))
        });
        match number {
            Ok(None) => Silence::OfOne,
            Ok(Some(number)) => Silence::Probe(Probe::new(Arc::clone(self), number)),
            Err(pause) => Silence::Down(pause),
        }
    }

    /// Closes what has been idle in a generation since before `begun`: one of these did not answer.
    pub(crate) fn forsake(self: &Arc<Self>, generation: &Generation, begun: Instant) {
        self.with(|state, after| {
            let old = |idle: &state::Idle| idle.open.idle_since < begun;
            while let Some(pool) = state.pools.get(&generation.id)
                && pool.idle.front().is_some_and(old)
                && let Some(open) = state.oldest_of(generation.id)
            {
                state.close(open, true, Why::Idle, after);
            }
        });
    }

    /// Until when failures of tenants to connect were the server's doing.
    pub(crate) fn recovered_at(self: &Arc<Self>) -> Option<Instant> {
        self.with(|state, _| state.breaker.closed_at)
    }

    /// A connection of this cluster was found broken: those idle since before are asked first.
    pub(crate) fn suspect(self: &Arc<Self>) {
        self.with(|state, _| state.suspect = Some(Instant::now()));
    }

    /// Retires a generation: nothing of it is handed out after this. Idle connections are closed,
    /// waiters sent away; leased connections are closed when they come back.
    pub(crate) fn retire(self: &Arc<Self>, generation: &Arc<Generation>) {
        self.with(|state, after| {
            generation.mark_retired();
            while let Some(open) = state.oldest_of(generation.id) {
                state.close(open, true, Why::Retired, after);
            }
            state.dismiss(generation.id, || Grant::Retired, after);
        });
    }

    /// The router ends: nothing is handed out any more, and whoever waits is told.
    pub(crate) fn shut(self: &Arc<Self>) {
        self.with(|state, after| {
            state.shut = true;
            state.dismiss_all(|| Grant::Shut, after);
        });
    }

    /// Connections of a generation that are being opened or used.
    pub(crate) fn busy(self: &Arc<Self>, generation: &Generation) -> usize {
        self.with(|state, _| {
            state.pools.get(&generation.id).map_or(0, |pool| {
                pool.held()
                    .saturating_sub(pool.idle.len())
                    .saturating_sub(pool.late)
            })
        })
    }

    /// Connections of a generation, whatever is done with them, save those that are closing.
    pub(crate) fn held(self: &Arc<Self>, generation: &Generation) -> usize {
        self.with(|state, _| {
            let pool = state.pools.get(&generation.id);
            pool.map_or(0, state::Pool::held)
        })
    }

    /// The backends of a generation that are leased.
    pub(crate) fn leased(self: &Arc<Self>, generation: &Generation) -> Vec<Backend> {
        self.with(|state, _| {
            state
                .pools
                .get(&generation.id)
                .map_or_else(Vec::new, |pool| pool.leased.values().copied().collect())
        })
    }

    /// The generations of which something is leased, for the end of the router.
    pub(crate) fn in_use(self: &Arc<Self>) -> Vec<Arc<Generation>> {
        self.with(|state, _| {
            let used = state.pools.values().filter(|pool| !pool.leased.is_empty());
            used.map(|pool| Arc::clone(&pool.generation)).collect()
        })
    }

    /// Closes what has been idle for `idle`; tells when the next one will have been. One is kept that
    /// shows that our connections have not been ended, see [`Cluster::answers`].
    pub(crate) fn sweep(self: &Arc<Self>, idle: Duration) -> Option<Instant> {
        self.with(|state, after| {
            let now = Instant::now();
            loop {
                let witness = state.witness();
                let mut numbers = state.lru.keys().copied();
                let number = numbers.find(|number| Some(*number) != witness)?;
                let due = state.idle(number)?.idle_since + idle;
                if due > now {
                    return Some(due);
                }
                let open = state.take_number(number)?;
                state.close(open, true, Why::Idle, after);
            }
        })
    }

    /// Takes every idle connection out, for the end of the router.
    pub(crate) fn take_all_idle(self: &Arc<Self>) -> Vec<Open> {
        self.with(|state, _| std::iter::from_fn(|| state.oldest()).collect())
    }

    pub(crate) fn count(self: &Arc<Self>) -> Count {
        self.with(|state, _| Count {
            open: state.open,
            idle: state.lru.len(),
            leased: state.pools.values().map(|pool| pool.leased.len()).sum(),
            waiting: state.waiting,
        })
    }

    /// The connections of a generation; none when it has none and nobody waits.
    pub(crate) fn pool_stats(self: &Arc<Self>, generation: &Generation) -> Option<PoolStats> {
        self.with(|state, _| {
            let pool = state.pools.get(&generation.id)?;
            Some(PoolStats {
                open: pool.total,
                idle: pool.idle.len(),
                leased: pool.leased.len(),
                waiting: pool.waiting(),
                cap: generation.cap(),
            })
        })
    }

    /// Adds how many connections each tenant has here. As many tenants as connections at most.
    pub(crate) fn add_open(self: &Arc<Self>, all: &mut HashMap<TenantId, u64>) {
        self.with(|state, _| {
            for pool in state.pools.values() {
                *all.entry(pool.generation.tenant).or_default() +=
                    u64::try_from(pool.total).unwrap_or(u64::MAX);
            }
        });
    }

    pub(crate) fn stats(self: &Arc<Self>, cluster: ClusterId) -> ClusterStats {
        let count = self.count();
        self.with(|state, _| ClusterStats {
            cluster,
            open: count.open,
            idle: count.idle,
            leased: count.leased,
            waiting: count.waiting,
            connecting: state.opening,
            limit: state.limit,
            breaker: state.breaker.state(),
            breaker_opened: state.breaker.opened,
            budget: state.share.budget,
            closed_idle: state.closed[Why::Idle as usize],
            closed_for_room: state.closed[Why::Room as usize],
            closed_retired: state.closed[Why::Retired as usize],
        })
    }

    /// Runs `f` under the lock, lets waiters have what became free, and does what is left to do
    /// after the lock was let go.
    fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut State, &mut After) -> R) -> R {
        let mut after = After::default();
        let (result, due) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = f(&mut state, &mut after);
            state.pump(&mut after);
            (result, state.report_due())
        };
        if due {
            self.report_due.notify_one();
        }
        for open in after.close {
            self.tasks.close(open);
        }
        for open in after.close_quietly {
            self.tasks.close_quietly(open);
        }
        drop(after.drop);
        result
    }
}
