//! Attempts to connect that the server has not answered in time.
//!
//! Who asked is told after `connect_timeout`; the attempt goes on without him, and keeps its slot. A login
//! that was merely given up here would live on over there, unseen, as soon as a silent server or network
//! comes to itself: more would be open than the budget allows. So its answer is waited for instead, up to
//! `login_time`, after which the server itself has ended it. What comes is a connection like any other,
//! kept for the next who asks, or an end that was seen.
//!
//! This does not keep a server that is back from being used: its first answer to any of these is the sign of
//! life that the breaker waits for, and frees their slots.

use std::sync::Arc;

use tokio::time::timeout;

use crate::Router;
use crate::budget::Trouble;
use crate::connect::Attempt;
use crate::pools::{Open, Slot};
use crate::router::Inner;

impl Router {
    /// Goes on with an attempt whose time was up.
    pub(crate) fn await_late(&self, mut slot: Slot, attempt: Attempt) {
        let cluster = Arc::clone(&slot.generation.cluster);
        cluster.late(&mut slot);
        let bound = self.inner.config.login_time;
        let router = Arc::downgrade(&self.inner);
        self.inner.tasks.spawn(async move {
            let Ok(answer) = timeout(bound, attempt).await else {
                // By its own limit the server has ended it.
                return drop(slot);
            };
            match answer {
                Ok(fresh) => {
                    let open = Open::new(fresh.conn, fresh.backend, slot);
                    let tasks = &open.generation().cluster.tasks.clone();
                    match router.upgrade().filter(|router| !router.is_stopping()) {
                        // A lease that was not used: dropped, it goes back to the pool.
                        Some(_) => drop(cluster.opened(open)),
                        None => tasks.close(open),
                    }
                }
                Err(error) => {
                    if error.trouble() == Some(Trouble::Answered) {
                        cluster.lives();
                    }
                    drop(slot);
                }
            }
        });
    }
}

impl Inner {
    fn is_stopping(&self) -> bool {
        self.stopping.load(std::sync::atomic::Ordering::Acquire)
    }
}
