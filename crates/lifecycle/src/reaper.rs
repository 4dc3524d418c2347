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
use tenantry_router::{Address, ProveError, RouterLogin};
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
            memory.dead.clear();
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
    let before = std::mem::take(&mut memory.dead);
    for orphan in &orphans {
        let is = orphan.lease_until;
        let was = before.get(&orphan.router).filter(|(was, _)| *was == is);
        let since = was.map_or(begun, |(_, since)| *since);
        memory.dead.insert(orphan.router, (is, since));
    }
    let length = deps.router.lease_length();
    let long = memory
        .dead
        .iter()
        .filter(|(_, (_, since))| begun.duration_since(*since) >= length);
    let dead: HashSet<RouterId> = long.map(|(router, _)| *router).collect();
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
    let (mut found, mut spared, mut passed) = (0, HashSet::new(), HashSet::new());
    for _ in 0..VISITS {
        let unseen = sessions::all(admin).await?.into_iter();
        let unseen = unseen.filter(|(pid, login)| !spared.contains(pid) && !passed.contains(login));
        let mut names: Vec<_> = unseen.map(|(_, login)| login).collect();
        names.dedup();
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
        passed.extend(
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
                address: Address {
                    host: cluster.host.clone(),
                    port: cluster.port,
                    tls: cluster.tls,
                },
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
                            spared.extend(looked.spared);
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
