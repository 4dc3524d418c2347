//! Keeping this router registered in the catalog: renewing its lease, reporting how far it is and what
//! it does with its shares of the clusters' budgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::Counter;
use sqlx::PgPool;
use tenantry_catalog::{CatalogError, routers};
use tenantry_types::RouterId;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::change_log::ChangeLog;
use crate::lease::Lease;
use crate::places::Scope;
use crate::progress::Progress;
use crate::report::Reporter;
use crate::shares::{Exchanged, Shares};

/// This router's row in the catalog.
pub(crate) struct Registration {
    pub(crate) catalog: PgPool,
    pub(crate) id: RouterId,
    pub(crate) name: String,
    pub(crate) length: Duration,
    pub(crate) lease: Arc<Lease>,
    pub(crate) log: Arc<ChangeLog>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) losses: Counter,
    /// The loss that goes on was counted.
    pub(crate) lost: AtomicBool,
    pub(crate) reporter: Reporter,
}

impl Registration {
    /// Renews the lease every third of its length, when somebody waits for it, and whenever there
    /// is something to acknowledge, to ask for or to give back.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut acked = self.progress.watch_acked();
        let mut reported = *acked.borrow_and_update();
        let mut told_at = None;
        while !stop.is_cancelled() {
            let number = *acked.borrow_and_update();
            if self.renew(number).await {
                reported = number;
                self.tell(&mut told_at).await;
            }
            // After a failure the number is still to be reported, but not in a tight loop.
            let pause = if reported < number {
                self.length / 10
            } else {
                self.length / 3
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.lease.wanted.notified() => {}
                _ = acked.changed() => {}
                () = self.shares.due(), if reported == number => {}
            }
        }
    }

    /// Writes the report, at most once in a third of the lease's length. The lease was renewed
    /// before and does not depend on it.
    async fn tell(&self, told_at: &mut Option<Instant>) {
        let pause = self.length / 3;
        if told_at.is_some_and(|at: Instant| at.elapsed() < pause.mul_f32(0.9)) {
            return;
        }
        *told_at = Some(Instant::now());
        match timeout(self.length / 10, self.reporter.write()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the router's report could not be written"
            ),
            Err(_) => tracing::debug!("the router's report could not be written in time"),
        }
    }

    /// One renewal; registers and catches up where that is needed. `false`: not reached.
    pub(crate) async fn renew(&self, acked: i64) -> bool {
        let sent = Instant::now();
        // Shorter than the lease, so that one lost answer is made up for in time.
        // With a lease that lapsed no share is gone by that is not told anew.
        let scope = match self.lease.is_running() {
            true => self.shares.news(),
            false => Scope::All,
        };
        match timeout(self.length / 3, self.send(acked, scope)).await {
            Ok(Ok((exchanged, was_registered))) => {
                self.note_loss();
                let goes_on = was_registered && self.lease.is_running();
                // Shares of a lease that lapsed may be others' by now: what was not told anew is not
                // to be gone by.
                if !goes_on && let Err(error) = exchanged.settled() {
                    self.failed(sent, &error);
                    return false;
                }
                // A lease that never lapsed is simply longer now. One that did lapse, here or
                // there, left time for a change that nobody waited for us with: the gate opens
                // only after the log was read from now on. See `crate::lease`.
                if !goes_on && let Err(error) = self.log.catch_up().await {
                    self.failed(sent, &error);
                    return false;
                }
                self.lease.renewed(sent);
                self.lost.store(false, Ordering::Relaxed);
                true
            }
            Ok(Err(error)) => {
                self.failed(sent, &error);
                false
            }
            Err(elapsed) => {
                self.failed(sent, &elapsed);
                false
            }
        }
    }

    /// Whatever the answer takes away is gone when this returns, and so before the gate opens.
    async fn send(&self, acked: i64, scope: Scope) -> Result<(Exchanged, bool), CatalogError> {
        let exchanged = self.shares.exchange(acked, scope).await?;
        if exchanged != Exchanged::Unknown {
            return Ok((exchanged, true));
        }
        {
            let mut conn = self.catalog.acquire().await?;
            routers::register(&mut conn, self.id, &self.name, acked, self.length).await?;
        }
        Ok((self.shares.exchange(acked, Scope::All).await?, false))
    }

    fn note_loss(&self) {
        if !self.lease.is_running() && !self.lost.swap(true, Ordering::Relaxed) {
            self.losses.increment(1);
        }
    }

    fn failed(&self, sent: Instant, error: &(dyn std::error::Error + 'static)) {
        self.lease.failed(sent);
        self.note_loss();
        tracing::warn!(error, "the router's lease could not be renewed");
    }
}
