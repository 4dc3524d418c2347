//! The part of a cluster's budget that is this router's, as the catalog leased it, and what is
//! reported of it. How shares move between routers is told in [`crate::shares`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenantry_catalog::shares::{Share, Use};
use tenantry_types::ClusterId;
use tokio::time::{Instant, timeout};

use super::Cluster;
use super::state::{Pool, State, Why};
use crate::pools::Lease;
use crate::session;

/// What was busy at a time counts as wanted for between one and two of these: a moment's pause is no
/// reason to give slots away.
const REMEMBERED: Duration = Duration::from_secs(1);
/// How long a connection that shows that we were not given up may take to answer, or to come back.
const ANSWER: Duration = Duration::from_secs(1);

/// The share, and what was asked of it lately.
pub(super) struct Held {
    /// Of connections of another incarnation the share was taken away: see [`State::is_lost`].
    pub(super) incarnation: i64,
    /// What the catalog counts as ours.
    slots: usize,
    /// The lesser of that and of what we shall have.
    leased: usize,
    /// The whole budget.
    pub(super) budget: usize,
    /// The report that this was the answer to.
    report: i64,
    /// The most connections in use at a time, in this period and the one before.
    peaks: [usize; 2],
    period: Instant,
    /// Somebody had to wait since the last report, if only until an idle connection was closed.
    pressed: bool,
    /// It was said that a report is due, and none was made since.
    said: bool,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            incarnation: 0,
            slots: 0,
            leased: 0,
            budget: 0,
            report: 0,
            peaks: [0; 2],
            period: Instant::now(),
            pressed: false,
            said: false,
        }
    }
}

impl State {
    /// Connections being opened or in use.
    fn busy(&self) -> usize {
        self.open
            .saturating_sub(self.lru.len())
            .saturating_sub(self.closing)
    }

    /// Requests that a slot would help.
    fn short(&self) -> usize {
        let pools = self.queues.iter().filter_map(|(_, id)| self.pools.get(id));
        pools.map(Pool::short).sum()
    }

    /// Takes note of what is in use, after each change; says whether a report is due: somebody waits
    /// and every slot is taken, or there is something to give back.
    pub(super) fn report_due(&mut self) -> bool {
        let busy = self.busy();
        let share = &mut self.share;
        share.peaks[0] = share.peaks[0].max(busy);
        let short = self.open >= self.limit && !self.ready.is_empty();
        let over = share.slots > share.leased.max(self.open);
        share.pressed |= short;
        let due = (short || over) && !share.said;
        share.said |= due;
        due
    }

    /// Whether the share under which a connection was opened was taken away since. Its backend was
    /// ended then, and nothing is left of it in this router's share.
    pub(super) fn is_lost(&self, incarnation: i64) -> bool {
        incarnation != self.share.incarnation
    }
}

impl Cluster {
    /// Takes over what the catalog answered to report number `report`; nothing is opened beyond it
    /// from here on. `most`: what this router takes at most, whatever it is given. Says whether
    /// anything changed.
    pub(crate) fn take(self: &Arc<Self>, share: &Share, report: i64, most: usize) -> bool {
        let slots = usize::try_from(share.slots).unwrap_or(usize::MAX);
        let goal = usize::try_from(share.goal).unwrap_or(usize::MAX);
        self.with(|state, after| {
            if report <= state.share.report {
                return false;
            }
            let leased = slots.min(goal);
            let lost = state.is_lost(share.incarnation);
            let held = &mut state.share;
            let changed = lost || (held.slots, held.leased) != (slots, leased);
            held.report = report;
            held.incarnation = share.incarnation;
            self.incarnation.store(share.incarnation, Ordering::Release);
            held.budget = usize::try_from(share.budget).unwrap_or(usize::MAX);
            (held.slots, held.leased) = (slots, leased);
            state.limit = leased.min(most);
            if lost {
                // Those that are in use are closed when they come back.
                while let Some(open) = state.oldest() {
                    state.close(open, false, Why::Retired, after);
                }
            }
            changed
        })
    }

    /// Whether the share that a slot or a connection is part of was taken away since. To be asked after
    /// the gate: it opens when the shares are known.
    pub(crate) fn is_lost(&self, incarnation: i64) -> bool {
        incarnation != self.incarnation.load(Ordering::Acquire)
    }

    /// What the catalog is to know.
    pub(crate) fn usage(self: &Arc<Self>, cluster: ClusterId, most: usize) -> Use {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let waiting = self.count().waiting;
        self.with(|state, _| {
            let short = state.short();
            let (busy, open, kept) = (state.busy(), state.open, state.lru.len());
            let held = &mut state.share;
            held.said = false;
            let more = match std::mem::take(&mut held.pressed) {
                true => short.max(open / 4 + 1),
                false => 0,
            };
            let wanted = held.peaks[0].max(held.peaks[1]).max(busy) + short;
            if held.period.elapsed() >= REMEMBERED {
                held.peaks = [busy, held.peaks[0]];
                held.period = Instant::now();
            }
            Use {
                cluster,
                incarnation: held.incarnation,
                held: count(held.leased.max(open)),
                wanted: count(wanted.min(most)),
                used: count(wanted.max(busy + kept + more).min(most)),
                open: count(open),
                waiting: count(waiting),
            }
        })
    }

    /// Whether a connection of ours on this cluster answers now that was open while our lease ran: then
    /// our connections have not been ended, and our share was not given to others. One whose login was
    /// under way when our connections were ended would answer as well: it is not asked.
    pub(crate) async fn answers(self: &Arc<Self>) -> bool {
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline {
            let Some(mut lease) = self.take_witness() else {
                // All are in use: one may come back.
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            // Cancelled in between, the answer is still to come: not simply put back.
            lease.mark_used();
            let asked = session::is_idle(&mut lease.get_mut().conn);
            if matches!(timeout(ANSWER, asked).await, Ok(Ok(true))) {
                lease.put_back(true);
                return true;
            }
            self.suspect();
        }
        false
    }

    fn take_witness(self: &Arc<Self>) -> Option<Lease> {
        self.with(|state, _| {
            let open = state.take_number(state.witness()?)?;
            Some(state.lease(open))
        })
    }
}
