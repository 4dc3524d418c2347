//! Freeing the shares of clusters' budgets that dead routers hold.
//!
//! A share of a router whose lease has ended counts as taken until its connections are gone. Here they
//! are ended, on the server, and seen gone; then its slots are free, save as many as logins of it may
//! be under way: those show as sessions only when they are through, and are free after the time that
//! the server grants a login, if the looks in the meantime found nothing. Nothing of this relies on
//! the dead router, nor on the lease having been judged rightly: a router that was only slow
//! loses its connections and takes a new share (see `crates/router/src/shares.rs`).
//!
//! Takes no input and may run anywhere and twice: each step is made only if the router has not been
//! back since its lease ended as it was seen.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::shares::{self, Orphan};
use tenantry_catalog::{logins, routers};
use tenantry_cluster::{AdminConn, sessions};
use tenantry_router::{ProveError, RouterLogin};
use tenantry_types::{ClusterId, RouterId, Timestamp};
use tokio::time::Instant;

use crate::Lifecycle;
use crate::engine::chain_of;
use crate::error::StartError;
use crate::place;

/// How often to look for dead routers.
const EVERY: Duration = Duration::from_secs(1);
/// How often to look for logins that came through late, in parts of the time that they may take.
const LOOKS: u32 = 4;
/// How often sessions are listed and ended before it is left to the next look.
const PASSES: usize = 5;
/// How often, in one of these, the sessions that came meanwhile are looked at as well.
const VISITS: usize = 20;
/// The longest pause after a cluster could not be asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is remembered from look to look.
#[derive(Default)]
struct Memory {
    /// Routers that look dead: the end of their lease, and since when they have looked so at each look.
    /// For one lease's length by our own clock, or they are left alone: all look so after the catalog
    /// was away, or when its clock was set forward.
    dead: HashMap<RouterId, (Timestamp, Instant)>,
    /// When a cluster is looked at next, and how long the pause was.
    next: HashMap<ClusterId, (Instant, Duration)>,
    /// Routers that were found dead.
    seen: HashSet<RouterId>,
    /// When the catalog last told who looks dead.
    told_at: Option<Instant>,
}

impl Memory {
    /// The routers that are dead as far as we can tell `now`, that being when the catalog told of
    /// `orphans`: those whose lease has looked ended, and as the same lease, at every look of one lease's
    /// length. Of looks that are further apart than about half of that nobody knows whether it could be
    /// renewed in between.
    fn dead_at(&mut self, now: Instant, orphans: &[Orphan], length: Duration) -> HashSet<RouterId> {
        let told_at = self.told_at.replace(now);
        let apart = (length / 2).max(3 * EVERY);
        if told_at.is_some_and(|at| now.duration_since(at) > apart) {
            self.interrupted();
        }
        let before = std::mem::take(&mut self.dead);
        for orphan in orphans {
            let is = orphan.lease_until;
            let was = before.get(&orphan.router).filter(|(was, _)| *was == is);
            let since = was.map_or(now, |(_, since)| *since);
            self.dead.insert(orphan.router, (is, since));
        }
        let long = self
            .dead
            .iter()
            .filter(|(_, (_, since))| now.duration_since(*since) >= length);
        long.map(|(router, _)| *router).collect()
    }

    /// The catalog did not answer: no look in a row with those before.
    fn interrupted(&mut self) {
        self.dead.clear();
    }
}

/// What one pass over a cluster's sessions has seen to be none of a dead router's.
#[derive(Default)]
struct Pass {
    /// Sessions of live routers, by process id.
    spared: HashSet<i32>,
    /// Logins that are no routers', or that nobody can log in with.
    passed: HashSet<String>,
}

impl Pass {
    /// The logins of `sessions` that are still to be looked at; none: the pass is over. A login that was
    /// looked at is so again when it has a session that was not there then.
    fn unseen(&self, sessions: Vec<(i32, String)>) -> Vec<String> {
        let unseen = sessions
            .into_iter()
            .filter(|(pid, login)| !self.spared.contains(pid) && !self.passed.contains(login));
        let mut logins: Vec<_> = unseen.map(|(_, login)| login).collect();
        logins.dedup();
        logins
    }
}

pub(crate) async fn run(life: Lifecycle) {
    let mut memory = Memory::default();
    loop {
        let work = look(&life, &mut memory);
        let looked = tokio::select! {
            () = life.0.stopping.cancelled() => return,
            looked = work => looked,
        };
        if let Err(error) = looked {
            memory.interrupted();
            tracing::debug!(%error, "could not look for dead routers; trying again");
        }
        tokio::select! {
            () = life.0.stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn look(life: &Lifecycle, memory: &mut Memory) -> Result<(), StartError> {
    let deps = life.deps();
    let begun = Instant::now();
    let orphans = {
        let mut conn = deps.catalog.acquire().await?;
        shares::orphans(&mut conn).await?
    };
    if orphans.is_empty() {
        *memory = Memory::default();
        return Ok(());
    }
    // It may have been silent until just now.
    let dead = memory.dead_at(Instant::now(), &orphans, deps.router.lease_length());
    let orphans: Vec<_> = orphans
        .into_iter()
        .filter(|orphan| dead.contains(&orphan.router))
        .collect();
    let mut by_cluster: HashMap<ClusterId, Vec<Orphan>> = HashMap::new();
    for orphan in orphans {
        by_cluster.entry(orphan.cluster).or_default().push(orphan);
    }
    memory
        .next
        .retain(|cluster, _| by_cluster.contains_key(cluster));
    for (id, orphans) in by_cluster {
        let new: Vec<_> = orphans.iter().filter(|o| o.reaped_for.is_none()).collect();
        let newly = new.iter().any(|orphan| memory.seen.insert(orphan.router));
        let (next, pause) = memory.next.get(&id).copied().unwrap_or((begun, EVERY));
        // Who died just now does not wait for the pause between looks at those that are nearly free.
        if Instant::now() < next && !newly {
            continue;
        }
        let pause = match on_cluster(life, id, &orphans, &dead).await {
            Ok(Some(login_time)) => (login_time / LOOKS).clamp(EVERY, LONGEST_PAUSE),
            Ok(None) => (pause * 2).min(LONGEST_PAUSE),
            Err(error) => {
                tracing::warn!(cluster = %id, error = %chain_of(&error),
                    "the connections of a dead router could not be ended; trying again");
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
        memory.next.insert(id, (Instant::now() + pause, pause));
    }
    Ok(())
}

/// Ends what dead routers left on one cluster and frees what is seen gone. Gives how long a login may
/// take there; none when it was not all seen gone.
async fn on_cluster(
    life: &Lifecycle,
    id: ClusterId,
    orphans: &[Orphan],
    dead: &HashSet<RouterId>,
) -> Result<Option<Duration>, StartError> {
    let deps = life.deps();
    let mut conn = deps.catalog.acquire().await?;
    let Some(cluster) = clusters::by_id(&mut conn, id).await? else {
        return Ok(None);
    };
    drop(conn);
    let mut admin = place::admin_of(deps, &cluster)?
        .connect("tenantry/reaper")
        .await?;
    let freed = free(life, &cluster, &mut admin, orphans, dead).await;
    admin.close().await;
    freed
}

async fn free(
    life: &Lifecycle,
    cluster: &Cluster,
    admin: &mut AdminConn,
    orphans: &[Orphan],
    dead: &HashSet<RouterId>,
) -> Result<Option<Duration>, StartError> {
    let login_time = sessions::login_time(admin).await?;
    let (mut passes, mut quiet) = (0, 0);
    // Two in a row: a router that is cut off from the catalog only, and goes on, may change from one
    // login to another while a pass is under way.
    while quiet < 2 {
        let found = match end_strays(life, cluster, admin, dead).await? {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(cluster = cluster.name, error = %chain_of(&error),
                    "the connections of a dead router could not be looked at; trying again");
                return Ok(None);
            }
        };
        quiet = if found == 0 { quiet + 1 } else { 0 };
        passes += 1;
        if passes == PASSES && quiet < 2 {
            tracing::warn!(
                cluster = cluster.name,
                "sessions of dead routers do not end"
            );
            return Ok(None);
        }
    }
    for orphan in orphans {
        let last = orphan.reaped_for.is_some_and(|since| since > login_time);
        if orphan.reaped_for.is_some() && !last {
            continue;
        }
        let mut conn = life.deps().catalog.acquire().await?;
        if shares::reap(&mut conn, orphan, last).await? {
            tracing::info!(router = %orphan.router, name = orphan.name, cluster = cluster.name,
                slots = orphan.slots, last, "a dead router's share of the budget was freed");
        }
    }
    Ok(Some(login_time))
}

/// One pass over all router logins with sessions on the cluster: ends those of no live router. Gives
/// how many there were.
///
/// Logins are visited one after another, and a router that is cut off may be elsewhere at each visit. So it
/// is over when the server shows no session of a router's login that was not seen to be a live
/// router's: then, at that moment, a dead one had none.
async fn end_strays(
    life: &Lifecycle,
    cluster: &Cluster,
    admin: &mut AdminConn,
    dead: &HashSet<RouterId>,
) -> Result<Result<usize, ProveError>, StartError> {
    let deps = life.deps();
    let (mut found, mut pass) = (0, Pass::default());
    for _ in 0..VISITS {
        let names = pass.unseen(sessions::all(admin).await?);
        if names.is_empty() {
            return Ok(Ok(found));
        }
        let mut conn = deps.catalog.acquire().await?;
        let logins = logins::of_routers(&mut conn, cluster.id, &names).await?;
        drop(conn);
        // What is no router's login is not looked at, nor one that nobody can log in with.
        let ours: HashSet<_> = logins
            .iter()
            .filter(|(login, _)| login.sealed.is_some())
            .map(|(login, _)| login.name.as_str())
            .collect();
        pass.passed.extend(
            names
                .into_iter()
                .filter(|name| !ours.contains(name.as_str())),
        );
        for (login, database) in logins {
            if login.sealed.is_none() {
                continue;
            }
            let name = login.name.clone();
            let password = match place::open_login(deps, &login) {
                Ok(password) => password,
                Err(error) => return Ok(Err(ProveError::Unavailable(Box::new(error)))),
            };
            let login = RouterLogin {
                address: place::address(cluster),
                database,
                login: login.name,
                password,
            };
            match deps.router.sessions_of(&login).await {
                Ok(sessions) => {
                    // Read after the sessions were listed, so that whoever opened one is among them.
                    let mut conn = deps.catalog.acquire().await?;
                    let all = routers::list(&mut conn).await?;
                    drop(conn);
                    // One that only looks dead since a moment ago is not touched.
                    let live = all.iter().filter(|one| one.live || !dead.contains(&one.id));
                    let live: Vec<_> = live.map(|one| one.id).collect();
                    match sessions.end_all_but(&live).await {
                        Ok(looked) => {
                            found += looked.strays;
                            pass.spared.extend(looked.spared);
                        }
                        Err(error) => return Ok(Err(error)),
                    }
                }
                // Fenced or rotated: nobody gets in with it any more, and nothing of it need stay.
                Err(ProveError::Refused { .. }) => {
                    sessions::terminate_of(admin, &name).await?;
                    found += 1;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    // Somebody connects faster than we look: nothing is shown.
    Ok(Ok(found.max(1)))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tenantry_types::{Clock, Entropy};

    use super::*;

    const LENGTH: Duration = Duration::from_secs(5);

    struct Bench {
        memory: Memory,
        clock: Clock,
        now: Instant,
        orphan: Orphan,
    }

    impl Bench {
        fn new() -> Self {
            let (clock, entropy) = (Clock::adjustable(), Entropy::system());
            let orphan = Orphan {
                cluster: ClusterId::generate(&clock, &entropy),
                router: RouterId::generate(&clock, &entropy),
                name: "one".to_owned(),
                slots: 3,
                lease_until: clock.now(),
                reaped_for: None,
            };
            Self {
                memory: Memory::default(),
                clock,
                now: Instant::now(),
                orphan,
            }
        }

        fn looks_dead(&mut self) -> bool {
            let orphans = std::slice::from_ref(&self.orphan);
            let dead = self.memory.dead_at(self.now, orphans, LENGTH);
            dead.contains(&self.orphan.router)
        }

        /// Looks as often as the reaper does, and tells for how long it did not.
        fn looks_dead_after(&mut self) -> Duration {
            let begun = self.now;
            while !self.looks_dead() {
                self.now += EVERY;
            }
            self.now - begun
        }
    }

    /// Tried: with the length left out of `dead_at`, it is dead at once.
    #[test]
    fn a_lease_that_ended_long_ago_is_none_before_it_has_looked_so_for_one_lease() {
        let mut bench = Bench::new();
        // By the catalog's clock it ended a day ago, as all leases did when that was set forward.
        bench.clock.advance(TimeDelta::days(1));
        assert_eq!(bench.looks_dead_after(), LENGTH);
    }

    /// Tried: with the end of the lease not compared, the other one is dead at once.
    #[test]
    fn a_router_that_was_back_in_between_is_as_new() {
        let mut bench = Bench::new();
        assert_eq!(bench.looks_dead_after(), LENGTH);
        bench.orphan.lease_until += TimeDelta::seconds(3);
        assert_eq!(bench.looks_dead_after(), LENGTH, "another lease ended");
    }

    /// Tried: with `interrupted` doing nothing, and without the look at how long ago the catalog told, it is dead
    /// too early.
    #[test]
    fn looks_before_and_after_the_catalog_was_away_are_not_of_one_row() {
        let mut bench = Bench::new();
        assert!(!bench.looks_dead());
        bench.now += EVERY;
        bench.memory.interrupted();
        assert_eq!(bench.looks_dead_after(), LENGTH, "it gave an error");
        // Nor when it was silent, and answered the next look at last.
        bench.now += 2 * LENGTH;
        assert_eq!(bench.looks_dead_after(), LENGTH, "it gave no answer");
    }

    /// Tried: with a login that was visited not looked at again, the stray is missing.
    #[test]
    fn a_pass_is_over_when_no_session_is_there_that_was_not_seen_to_be_a_live_routers() {
        let mut pass = Pass::default();
        let session = |pid: i32, login: &str| (pid, login.to_owned());
        let (live, other) = (session(1, "acme"), session(2, "backup"));
        let first = pass.unseen(vec![live.clone(), other.clone()]);
        assert_eq!(first, ["acme", "backup"]);
        pass.spared.insert(live.0);
        pass.passed.insert(other.1.clone());
        assert!(pass.unseen(vec![live.clone(), other.clone()]).is_empty());
        // While the others were visited, one came to a login that was visited already.
        let stray = session(7, "acme");
        let again = pass.unseen(vec![live, stray, other, session(8, "globex")]);
        assert_eq!(again, ["acme", "globex"]);
    }
}
