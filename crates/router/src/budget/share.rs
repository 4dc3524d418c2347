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
    /// What we shall have.
    goal: usize,
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
    /// What was reported last, and whether that was answered.
    told: Option<Use>,
    answered: bool,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            incarnation: 0,
            slots: 0,
            leased: 0,
            goal: 0,
            budget: 0,
            report: 0,
            peaks: [0; 2],
            period: Instant::now(),
            pressed: false,
            said: false,
            told: None,
            answered: false,
        }
    }
}

impl State {
    /// Connections being opened or in use.
    fn busy(&self) -> usize {
        self.open
            .saturating_sub(self.lru.len())
            .saturating_sub(self.ending())
            .saturating_sub(self.late)
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

    fn usage(&mut self, cluster: ClusterId, most: usize) -> Use {
        let short = self.short();
        let (busy, open, kept) = (self.busy(), self.open, self.lru.len());
        let held = &mut self.share;
        if held.period.elapsed() >= REMEMBERED {
            held.peaks = [busy, held.peaks[0]];
            held.period = Instant::now();
        }
        let more = match held.pressed {
            true => short.max(open / 4 + 1),
            false => 0,
        };
        let wanted = held.peaks[0].max(held.peaks[1]).max(busy) + short;
        Use {
            cluster,
            incarnation: held.incarnation,
            held: count(held.leased.max(open)),
            wanted: count(wanted.min(most)),
            used: count(wanted.max(busy + kept + more).min(most)),
            open: count(open),
            waiting: count(self.waiting),
        }
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
            held.answered = true;
            held.incarnation = share.incarnation;
            self.incarnation.store(share.incarnation, Ordering::Release);
            held.budget = usize::try_from(share.budget).unwrap_or(usize::MAX);
            (held.slots, held.leased, held.goal) = (slots, leased, goal);
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

    /// Whether there is something that the catalog does not know, or that it owes us: else its answer to a
    /// report would be the same as to the last.
    pub(crate) fn has_news(self: &Arc<Self>, cluster: ClusterId, most: usize) -> bool {
        self.with(|state, _| {
            let usage = state.usage(cluster, most);
            let held = &state.share;
            let asked = held.said || held.pressed;
            let owed = held.slots != held.goal || count(held.slots) < usage.wanted;
            asked || owed || !held.answered || held.told != Some(usage)
        })
    }

    /// What the catalog is to know.
    pub(crate) fn usage(self: &Arc<Self>, cluster: ClusterId, most: usize) -> Use {
        self.with(|state, _| {
            let usage = state.usage(cluster, most);
            let held = &mut state.share;
            (held.said, held.pressed, held.answered) = (false, false, false);
            held.told = Some(usage);
            usage
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

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
