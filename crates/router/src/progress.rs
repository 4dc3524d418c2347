//! How far this router has come in the change log: what it has forgotten, and what it has drained.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Two numbers that only rise. `applied`: nothing read before a row up to it is used any more.
/// `acked`: besides, no lease that a row up to it must end is open. Others wait for `acked`.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<State>,
    applied: watch::Sender<i64>,
    acked: watch::Sender<i64>,
}

#[derive(Debug)]
struct State {
    applied: i64,
    next: u64,
    draining: BTreeMap<u64, i64>,
}

/// A drain that goes on. Its row is not acknowledged, nor any later one, before it is dropped.
#[derive(Debug)]
pub(crate) struct Draining {
    progress: Arc<Progress>,
    id: u64,
}

impl Progress {
    pub(crate) fn starting_at(number: i64) -> Self {
        Self {
            state: Mutex::new(State {
                applied: number,
                next: 0,
                draining: BTreeMap::new(),
            }),
            applied: watch::Sender::new(number),
            acked: watch::Sender::new(number),
        }
    }

    pub(crate) fn applied(&self) -> i64 {
        *self.applied.borrow()
    }

    pub(crate) fn acked(&self) -> i64 {
        *self.acked.borrow()
    }

    pub(crate) fn watch_applied(&self) -> watch::Receiver<i64> {
        self.applied.subscribe()
    }

    pub(crate) fn watch_acked(&self) -> watch::Receiver<i64> {
        self.acked.subscribe()
    }

    /// Holds back the acknowledgement of every row that was not applied yet: of the one that is
    /// being applied, and of the one that will say what the drain's cause already knew from a load.
    pub(crate) fn draining(self: &Arc<Self>) -> Draining {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.applied + 1;
        let id = state.next;
        state.next += 1;
        state.draining.insert(id, number);
        Draining {
            progress: Arc::clone(self),
            id,
        }
    }

    /// Every row up to `number` has been applied to the caches.
    pub(crate) fn advance(&self, number: i64) {
        self.update(|state| state.applied = state.applied.max(number));
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let held = state
            .draining
            .values()
            .min()
            .map_or(i64::MAX, |number| number - 1);
        let acked = state.applied.min(held);
        // Sent under the lock, so that the numbers come in order.
        self.applied
            .send_if_modified(|was| raise(was, state.applied));
        self.acked.send_if_modified(|was| raise(was, acked));
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.progress.update(|state| {
            state.draining.remove(&self.id);
        });
    }
}

fn raise(was: &mut i64, to: i64) -> bool {
    let rises = to > *was;
    if rises {
        *was = to;
    }
    rises
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tried: with the latest of the drains deciding instead of the earliest, row 5 is acknowledged too early.
    #[test]
    fn a_drain_holds_back_the_acknowledgement_of_its_row_and_later_ones() {
        let progress = Arc::new(Progress::starting_at(3));
        progress.advance(4);
        let first = progress.draining();
        progress.advance(5);
        let second = progress.draining();
        progress.advance(7);
        assert_eq!((progress.applied(), progress.acked()), (7, 4));
        drop(second);
        assert_eq!(progress.acked(), 4);
        drop(first);
        assert_eq!(progress.acked(), 7);
        progress.advance(2);
        assert_eq!((progress.applied(), progress.acked()), (7, 7), "never back");
    }
}
