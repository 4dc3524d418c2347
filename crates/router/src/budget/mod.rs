//! The slots of one cluster: how many connections this router may have open there, who holds them,
//! who waits, and which idle connection goes first to make room.
//!
//! One lock per cluster, held for a few map operations and never across an await. Everything is
//! bounded by the slots and the waiters of the cluster; nothing depends on how many tenants exist.
//!
//! - A slot is taken before a connection is begun and given back after the server has ended it.
//! - A pool (the connections of one generation) is born with its first slot or waiter and freed
//!   with its last.
//! - The oldest waiter that can be served is served first. `ready` is the list of pools with
//!   waiters below their own cap, in the order of their oldest waiter: another order (shares,
//!   fairness between tenants) is a change to `ready` and to nothing else.
//! - `limit` is this router's part of the cluster's budget. Today it is all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantry_types::{ClusterId, TenantId};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::generation::Generation;
use crate::inspect::PoolStats;
use crate::pools::{Backend, Lease, Open, Slot};
use crate::router::ClusterStats;
use crate::tasks::Tasks;

mod state;
mod waiter;

use state::{After, State, Why};
pub(crate) use waiter::Waiter;

/// One cluster as this router sees it.
pub(crate) struct Cluster {
    pub(crate) tasks: Tasks,
    /// Connections that one tenant may hold.
    cap: usize,
    /// Connections on top of the budget, for ending others: one at a time.
    pub(crate) reserve: Semaphore,
    state: Mutex<State>,
}

/// What somebody who asked for a connection gets.
pub(crate) enum Grant {
    /// One that was idle.
    Lease(Lease),
    /// Room for a new one.
    Slot(Slot),
    /// The generation was retired meanwhile: resolve again.
    Retired,
    /// Opening a connection for this tenant just failed: do not try another.
    Failing,
}

/// The answer to [`Cluster::ask`].
pub(crate) enum Asked {
    Now(Grant),
    Wait(Waiter),
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
    pub(crate) fn new(cap: usize, tasks: Tasks) -> Self {
        Self {
            tasks,
            cap: cap.max(1),
            reserve: Semaphore::new(1),
            state: Mutex::default(),
        }
    }

    /// Takes over the budget that was read at `read_at`; an older reading changes nothing.
    pub(crate) fn set_limit(self: &Arc<Self>, limit: usize, read_at: i64) {
        self.with(|state, _| {
            if read_at >= state.limit_at {
                state.limit = limit.max(1);
                state.limit_at = read_at;
            }
        });
    }

    /// Asks for a connection of a generation.
    pub(crate) fn ask(self: &Arc<Self>, generation: &Arc<Generation>) -> Asked {
        self.with(|state, _| {
            if generation.is_retired() {
                return Asked::Now(Grant::Retired);
            }
            if let Some(lease) = state.take_idle(generation) {
                return Asked::Now(Grant::Lease(lease));
            }
            let pool = state.pool(generation);
            let room = pool.total < self.cap && pool.waiters.is_empty();
            if room && state.open < state.limit && state.ready.is_empty() {
                return Asked::Now(Grant::Slot(state.take_slot(generation)));
            }
            let number = state.tick();
            let (sender, receiver) = oneshot::channel();
            state.pool(generation).waiters.insert(number, sender);
            state.refresh(generation.id, self.cap);
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
            let total = state.pools.get(&generation.id).map_or(0, |pool| pool.total);
            let free = state.open < state.limit && state.ready.is_empty() && total < self.cap;
            (free && !generation.is_retired()).then(|| state.take_slot(generation))
        })
    }

    /// A new connection is open and proven: it becomes a lease, or is closed if its generation was
    /// retired meanwhile.
    pub(crate) fn opened(self: &Arc<Self>, open: Open) -> Grant {
        self.with(|state, after| {
            let generation = Arc::clone(open.generation());
            if generation.is_retired() {
                state.close(open, true, Why::Retired, after);
                return Grant::Retired;
            }
            Grant::Lease(state.lease(open))
        })
    }

    /// A leased connection comes back, clean and idle.
    pub(crate) fn put_back(self: &Arc<Self>, mut open: Open, lease: u64) {
        open.idle_since = Instant::now();
        self.with(|state, after| {
            let generation = Arc::clone(open.generation());
            if let Some(pool) = state.pools.get_mut(&generation.id) {
                pool.leased.remove(&lease);
            }
            if generation.is_retired() {
                state.close(open, true, Why::Retired, after);
                generation.given_back.notify_waiters();
                return;
            }
            state.put_idle(open, self.cap, after);
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
    pub(crate) fn slot_free(self: &Arc<Self>, generation: &Arc<Generation>, closing: bool) {
        self.with(|state, _| {
            state.open = state.open.saturating_sub(1);
            let closing = usize::from(closing);
            state.closing = state.closing.saturating_sub(closing);
            if let Some(pool) = state.pools.get_mut(&generation.id) {
                pool.total = pool.total.saturating_sub(1);
                pool.closing = pool.closing.saturating_sub(closing);
            }
            state.refresh(generation.id, self.cap);
        });
        if generation.is_retired() {
            generation.given_back.notify_waiters();
        }
    }

    /// Which of the two limits keeps this generation waiting.
    fn limit_met(self: &Arc<Self>, generation: &Generation) -> Limit {
        self.with(|state, _| match state.pools.get(&generation.id) {
            Some(pool) if pool.total >= self.cap => Limit::Tenant,
            _ => Limit::Cluster,
        })
    }

    /// A waiter leaves the queue, served or not.
    fn leave(generation: &Arc<Generation>, number: u64) {
        let cluster = &generation.cluster;
        cluster.with(|state, _| {
            if let Some(pool) = state.pools.get_mut(&generation.id) {
                pool.waiters.remove(&number);
            }
            state.refresh(generation.id, cluster.cap);
        });
    }

    /// Opening failed: whoever waits for this generation is told now and not after a timeout.
    pub(crate) fn fail_waiters(self: &Arc<Self>, generation: &Arc<Generation>) {
        self.with(|state, after| state.dismiss(generation.id, self.cap, || Grant::Failing, after));
    }

    /// A connection of this cluster was found broken: those idle since before are asked first.
    pub(crate) fn suspect(self: &Arc<Self>) {
        self.with(|state, _| state.suspect = Some(Instant::now()));
    }

    /// Whether a connection, idle since then, must be asked before it is handed out.
    pub(crate) fn is_suspect(self: &Arc<Self>, idle_since: Instant) -> bool {
        self.with(|state, _| state.suspect.is_some_and(|at| idle_since <= at))
    }

    /// Retires a generation: nothing of it is handed out after this. Idle connections are closed,
    /// waiters sent away; leased connections are closed when they come back.
    pub(crate) fn retire(self: &Arc<Self>, generation: &Arc<Generation>) {
        self.with(|state, after| {
            generation.mark_retired();
            while let Some(open) = state.oldest_of(generation.id) {
                state.close(open, true, Why::Retired, after);
            }
            state.dismiss(generation.id, self.cap, || Grant::Retired, after);
        });
    }

    /// Connections of a generation that are being opened or used.
    pub(crate) fn busy(self: &Arc<Self>, generation: &Generation) -> usize {
        self.with(|state, _| {
            state.pools.get(&generation.id).map_or(0, |pool| {
                pool.total
                    .saturating_sub(pool.idle.len())
                    .saturating_sub(pool.closing)
            })
        })
    }

    /// Connections of a generation, whatever is done with them, save those that are closing.
    pub(crate) fn held(self: &Arc<Self>, generation: &Generation) -> usize {
        self.with(|state, _| {
            let pool = state.pools.get(&generation.id);
            pool.map_or(0, |pool| pool.total.saturating_sub(pool.closing))
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

    /// Closes what has been idle for `idle`; tells when the next one will have been.
    pub(crate) fn sweep(self: &Arc<Self>, idle: Duration) -> Option<Instant> {
        self.with(|state, after| {
            let now = Instant::now();
            loop {
                let (_, pool) = state.lru.first_key_value()?;
                let due = state.pools.get(pool)?.idle.front()?.open.idle_since + idle;
                if due > now {
                    return Some(due);
                }
                let open = state.oldest()?;
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
            waiting: state.pools.values().map(|pool| pool.waiters.len()).sum(),
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
                waiting: pool.waiters.len(),
                cap: self.cap,
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
            limit: state.limit,
            closed_idle: state.closed[Why::Idle as usize],
            closed_for_room: state.closed[Why::Room as usize],
            closed_retired: state.closed[Why::Retired as usize],
        })
    }

    /// Runs `f` under the lock, lets waiters have what became free, and does what is left to do
    /// after the lock was let go.
    fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut State, &mut After) -> R) -> R {
        let mut after = After::default();
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = f(&mut state, &mut after);
            state.pump(self.cap, &mut after);
            result
        };
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
