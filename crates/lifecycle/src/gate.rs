//! The gate that all background work goes through: closed while somebody has paused it.
//!
//! What goes on is counted, under the lock that the gate closes by. So what a process tells of itself is exact:
//! that it has heard of a pause and is in the middle of nothing stays true until the pause is over. A process
//! that has not heard from the catalog for as long as its lease lasts counts itself as paused: by then nobody
//! waits for its word. Of what is paused and what not it knows nothing; that is said where work begins.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenantry_catalog::pause::Pause;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a process counts as alive after it was last heard of.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// The gate of one process.
pub(crate) struct Gate {
    inside: Mutex<Inside>,
    closed: watch::Sender<bool>,
}

struct Inside {
    /// Whether somebody asks the catalog; before that nobody can have paused us.
    watched: bool,
    /// When the catalog was last asked, of the times it answered.
    heard_at: Option<Instant>,
    pause: Option<Pause>,
    at_work: BTreeMap<&'static str, usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            inside: Mutex::new(Inside {
                watched: false,
                heard_at: None,
                pause: None,
                at_work: BTreeMap::new(),
            }),
            closed: watch::Sender::new(false),
        }
    }
}

/// That something goes on, as long as this lives.
pub(crate) struct AtWork<'a> {
    gate: &'a Gate,
    what: &'static str,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        if let Some(count) = inside.at_work.get_mut(self.what) {
            *count -= 1;
            if *count == 0 {
                inside.at_work.remove(self.what);
            }
        }
    }
}

impl Inside {
    fn is_open(&self) -> bool {
        let heard = |at: Instant| at.elapsed() < LEASE;
        !self.watched || (self.pause.is_none() && self.heard_at.is_some_and(heard))
    }
}

impl Gate {
    /// From now on it is open only as long as the catalog says so.
    pub(crate) fn watch(&self) {
        self.lock().watched = true;
    }

    /// What the catalog answered to a question that was asked then.
    pub(crate) fn hear(&self, asked: Instant, pause: Option<Pause>) {
        self.closed.send_if_modified(|closed| {
            let changed = *closed != pause.is_some();
            *closed = pause.is_some();
            changed
        });
        let mut inside = self.lock();
        inside.heard_at = Some(asked);
        inside.pause = pause;
    }

    /// Begins something, unless the gate is closed.
    pub(crate) fn enter(&self, what: &'static str) -> Option<AtWork<'_>> {
        let mut inside = self.lock();
        if !inside.is_open() {
            return None;
        }
        *inside.at_work.entry(what).or_default() += 1;
        Some(AtWork { gate: self, what })
    }

    /// Whether the next step may be taken.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().is_open()
    }

    /// The pause that was heard of.
    pub(crate) fn pause(&self) -> Option<Pause> {
        self.lock().pause.clone()
    }

    /// The pause that was heard of, and what goes on: both at one moment.
    pub(crate) fn standing(&self) -> (Option<i64>, Vec<String>) {
        let inside = self.lock();
        let at_work = inside.at_work.keys().map(|what| (*what).to_owned());
        let heard = inside.pause.as_ref().map(|pause| pause.number);
        (heard, at_work.collect())
    }

    /// Waits for a pause.
    pub(crate) async fn closed(&self) {
        // The sender lives as long as we do.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause() -> Pause {
        Pause {
            number: 7,
            asked_by: "maria".to_owned(),
            reason: "restore".to_owned(),
            since: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn what_goes_on_is_told_until_it_is_over() {
        let gate = Gate::default();
        gate.watch();
        gate.hear(Instant::now(), None);
        let working = gate.enter("create").expect("open");
        gate.hear(Instant::now(), Some(pause()));
        assert_eq!(gate.standing(), (Some(7), vec!["create".to_owned()]));
        assert!(gate.enter("sweeper").is_none());
        gate.closed().await;
        drop(working);
        assert_eq!(gate.standing(), (Some(7), Vec::new()));
        gate.hear(Instant::now(), None);
        assert!(gate.enter("sweeper").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_hears_nothing_counts_itself_as_paused() {
        let gate = Gate::default();
        assert!(gate.is_open(), "nobody watches");
        gate.watch();
        assert!(!gate.is_open(), "nothing was heard yet");
        gate.hear(Instant::now(), None);
        assert!(gate.is_open());
        tokio::time::advance(LEASE).await;
        assert!(!gate.is_open());
    }
}
