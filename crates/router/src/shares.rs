//! How many connections this router may open on each cluster, out of a budget that all routers share.
//!
//! The catalog leases every router a share of every cluster's budget; the sum of the shares is never
//! more than the budget. The rules by which shares are cut are in the catalog
//! (`migrations-central/0010_budget_shares.sql`). Here is what a router does:
//!
//! - It reports what it does with each renewal of its lease, and at once, though not for each request,
//!   when somebody waits and every slot is taken, or when there is something to give back. The answer
//!   says what it may have open from then on. Its limit rises by an answer alone.
//! - A report is about the clusters of which there is something to say, and of a few others by turns, so that
//!   none waits for another's: the catalog settles the shares of those alone. After the lease has ended
//!   it settles all.
//! - When others lack what is fairly theirs a row of the change log says so. The router asks what it may
//!   have, lowers its limit (nothing new beyond it, idle connections beyond it are closed), and
//!   acknowledges. What it gives back it reports as the server ends the connections. No running query
//!   is ended for it, and none holds up the acknowledgement.
//! - When slots become free for it, a notification says so; one that is lost costs a pause between
//!   two reports.
//!
//! # What happens when a router is not heard of
//!
//! Its slots count as taken until its connections are gone, whatever its lease says. Once the lease has
//! ended a reaper (`crates/lifecycle/src/reaper.rs`) ends **all** its backends on the cluster, looks until
//! there are none, and frees its slots but for logins under way, of which there are at most twice
//! `connects_in_flight` (half of them such as the server has not answered in time, [`crate::late`]); those
//! after the server's own time limit for logins.
//!
//! - *Killed:* nothing of it opens anything. Its slots are free when its backends were seen gone.
//! - *Frozen* (stopped, paused, swapping): its own clock ends its lease, before the catalog's does. When
//!   it wakes up, the gate ([`crate::lease`]) is shut until it has renewed; the answer tells by another
//!   incarnation that its share was taken away, and whatever it had open is closed instead of used. A
//!   login that had begun before is counted among those under way. What remains: a process that is
//!   stopped between the look at the gate and the system call that connects, for longer than lease
//!   and login time limit together, opens that connection when it wakes up; it is closed at once
//!   and never handed out.
//! - *Partitioned from the catalog* (or the catalog is down): it serves what it knows on the share that it
//!   last had, for as long as `away`. A reaper that does reach the catalog may meanwhile have given its
//!   slots away, but not before it ended all its backends. So it opens a new connection only when one of
//!   its own on that cluster answers, asked right before ([`crate::budget::Cluster::answers`]): then no
//!   reaper was done before that moment, and what is begun now is a login under way. It must be one
//!   that was open while the lease ran: one whose login was under way while a reaper ended the others
//!   would answer too. For this the idle sweep leaves one such connection of each cluster alone.
//! - *Back after the catalog was down:* all leases look ended. A reaper gives routers the length of a lease
//!   to renew before it does anything.
//! - *Partitioned from the cluster:* it holds its share, which is of no use to it, until its wants fall.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use tenantry_catalog::CatalogError;
use tenantry_catalog::shares::{self, Renewal, Use};
use tenantry_types::RouterId;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::cache::Cache;
use crate::config::Config;
use crate::places::Scope;

/// The pause between two reports that were asked for; doubled, up to the longest, while they change
/// nothing.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(250);

/// Clusters of which there is nothing to say that are reported with a renewal.
const BY_TURNS: usize = 4;

/// This router's shares.
pub(crate) struct Shares {
    catalog: PgPool,
    cache: Arc<Cache>,
    config: Arc<Config>,
    id: RouterId,
    /// The number of the last report. One is under way at a time.
    sending: Mutex<i64>,
    /// The catalog did not know us, and has not told every share since.
    unknown: AtomicBool,
    pace: StdMutex<Pace>,
    /// A cluster has something to report.
    due: Arc<Notify>,
    /// There are slots for us somewhere.
    pub(crate) offered: Notify,
}

/// What came of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchanged {
    /// Every cluster that was asked for has its answer: what this router goes by there is what the
    /// catalog has.
    Settled,
    /// The lease was renewed. Of some clusters nothing is known: they were locked, or not reported.
    Partly,
    /// This router is not registered.
    Unknown,
}

impl Exchanged {
    /// For who may not go on with what the router knew before.
    pub(crate) fn settled(self) -> Result<(), CatalogError> {
        match self {
            Self::Settled => Ok(()),
            Self::Partly | Self::Unknown => {
                let reason = "the shares of the budget could not be settled";
                Err(CatalogError::Unavailable(sqlx::Error::Io(
                    std::io::Error::other(reason),
                )))
            }
        }
    }
}

struct Pace {
    last: Instant,
    pause: Duration,
    /// When clusters of which there was nothing to say were reported last.
    turned: Instant,
}

impl Shares {
    pub(crate) fn new(
        catalog: PgPool,
        cache: Arc<Cache>,
        config: Arc<Config>,
        id: RouterId,
        due: Arc<Notify>,
    ) -> Self {
        Self {
            catalog,
            cache,
            config,
            id,
            sending: Mutex::new(0),
            unknown: AtomicBool::new(false),
            pace: StdMutex::new(Pace {
                last: Instant::now(),
                pause: PAUSE,
                turned: Instant::now(),
            }),
            due,
            offered: Notify::new(),
        }
    }

    /// Renews the lease in the catalog, reports, and takes over the shares. What the renewal means for
    /// handing anything out is [`crate::registration`]'s.
    pub(crate) async fn exchange(
        &self,
        acked: i64,
        scope: Scope,
    ) -> Result<Exchanged, CatalogError> {
        let mut report = self.sending.lock().await;
        *report += 1;
        let places = &self.cache.places;
        let most = self.most();
        let scope = match self.unknown.load(Ordering::Relaxed) {
            true => Scope::All,
            false => scope,
        };
        let uses = places.usages(&scope, most);
        // Before any cluster is met this router has a share of each all the same.
        let named = (scope == Scope::All || !uses.is_empty()).then_some(&uses[..]);
        let answer = {
            let mut conn = self.catalog.acquire().await?;
            let renewal = Renewal {
                router: self.id,
                applied: acked,
                ttl: self.config.lease,
                report: *report,
                in_flight: u32::try_from(self.config.logins_in_flight()).unwrap_or(u32::MAX),
                uses: named,
            };
            shares::renew(&mut conn, &renewal).await?
        };
        let Some(shares) = answer else {
            self.unknown.store(true, Ordering::Relaxed);
            return Ok(Exchanged::Unknown);
        };
        let mut changed = false;
        for share in &shares {
            changed |= places.known(share.cluster).take(share, *report, most);
            if share.budget == 0 {
                places.forget(share.cluster);
            }
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.last = Instant::now();
        pace.pause = if changed {
            PAUSE
        } else {
            (pace.pause * 2).min(LONGEST)
        };
        drop(pace);
        let answered = |one: &Use| shares.iter().any(|share| share.cluster == one.cluster);
        if !uses.iter().all(answered) {
            if self.unknown.load(Ordering::Relaxed) {
                Exchanged::Unknown.settled()?;
            }
            return Ok(Exchanged::Partly);
        }
        match scope {
            Scope::All => self.unknown.store(false, Ordering::Relaxed),
            Scope::These(_) => {}
            Scope::News { .. } => return Ok(Exchanged::Partly),
        }
        Ok(Exchanged::Settled)
    }

    /// What a renewal is about while the lease runs.
    pub(crate) fn news(&self) -> Scope {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = pace.turned.elapsed() >= self.config.lease / 4;
        if turn {
            pace.turned = Instant::now();
        }
        Scope::News {
            besides: if turn { BY_TURNS } else { 0 },
        }
    }

    /// Waits until another report makes sense.
    pub(crate) async fn due(&self) {
        tokio::select! {
            () = self.offered.notified() => return,
            () = self.due.notified() => {}
        }
        let next = {
            let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.last + pace.pause
        };
        tokio::select! {
            () = self.offered.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }

    /// Says goodbye: the shares are free, but for connections whose end was not seen.
    pub(crate) async fn leave(&self) -> Result<(), CatalogError> {
        let kept = self.cache.places.open();
        let mut conn = self.catalog.acquire().await?;
        shares::leave(&mut conn, self.id, &kept).await
    }

    fn most(&self) -> usize {
        let most = self.config.budget_override.unwrap_or(u32::MAX);
        usize::try_from(most).unwrap_or(usize::MAX)
    }
}
