//! Connections whose end nobody saw, until somebody sees it.
//!
//! A connection that is closed counts until the server has ended it. Mostly that is seen where it is
//! closed ([`crate::closing`]). Where it is not, because the network was silent or because nobody waited for
//! it, its slot is parked here. One task per cluster looks, while there are any, with a connection of the
//! reserve: every login sees of every session which process serves which login. A process that is gone,
//! or that serves another login, is the end of the connection. One that is still there is ended by its own
//! login, if it is older than the parking: then it is no other that was given the same number.
//!
//! - *The server does not answer:* they stay parked, however long. Nothing could be opened there
//!   either; once it answers, the next look (at most [`LONGEST`] later) frees them.
//! - *Nothing listens there:* they are over, and so is the server that served them.
//! - *No login gets in* (all of them were fenced): whoever fences a login ends its sessions, as its admin, in
//!   the same step; they are freed after [`BLIND`]. While any other tenant's connection is parked with
//!   them, that one's login sees theirs as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tenantry_types::RoleName;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::budget::{Cluster, Trouble};
use crate::closing::{Closer, END};
use crate::connect::OpenError;
use crate::pools::{Backend, Slot};
use crate::session;

/// The pause before the first look: a connection that was closed quietly is gone by then, and what was
/// closed meanwhile is looked at together. Doubled, up to the longest, while something is still there.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(4);
/// How long a slot is kept when no login gets in to look: some dozen times what ending the sessions of a
/// fenced login takes, its retries included.
const BLIND: Duration = Duration::from_secs(60);
/// Logins that are tried for a look, as some may be fenced.
const TRIED: usize = 4;

/// A slot and the process that served its connection.
pub(crate) struct Parked {
    slot: Slot,
    backend: Backend,
    since: Instant,
}

impl Parked {
    pub(crate) fn new(slot: Slot, backend: Backend) -> Self {
        Self {
            slot,
            backend,
            since: Instant::now(),
        }
    }

    fn login(&self) -> &RoleName {
        &self.slot.generation.place.login
    }
}

/// What is parked on one cluster.
#[derive(Default)]
pub(crate) struct Lot {
    inside: Mutex<Inside>,
    /// The router ends: whoever looks, looks now.
    pub(crate) hurry: Notify,
}

#[derive(Default)]
struct Inside {
    parked: Vec<Parked>,
    /// Somebody looks after them.
    watched: bool,
    /// The router is gone: nobody counts any more.
    closed: bool,
}

impl Lot {
    /// Says whether somebody has to begin to look.
    pub(crate) fn put(&self, parked: Parked) -> bool {
        let mut surplus = None;
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.closed {
            surplus = Some(parked);
        } else {
            inside.parked.push(parked);
        }
        let begins = !inside.closed && !std::mem::replace(&mut inside.watched, true);
        drop(inside);
        drop(surplus);
        begins
    }

    /// Gives all up, for the end of the router: the catalog was told of them.
    pub(crate) fn close(&self) {
        let left = {
            let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
            inside.closed = true;
            std::mem::take(&mut inside.parked)
        };
        drop(left);
    }

    /// What there is; nothing, and nobody looks any more, when there is none.
    fn take(&self) -> Vec<Parked> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.watched = !inside.parked.is_empty();
        std::mem::take(&mut inside.parked)
    }

    fn put_back(&self, left: Vec<Parked>) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.closed {
            drop(inside);
            drop(left);
        } else {
            inside.parked.extend(left);
        }
    }
}

/// Looks until nothing is parked.
pub(crate) async fn watch(cluster: Arc<Cluster>, closer: Arc<Closer>) {
    let mut pause = FIRST;
    loop {
        let _ = timeout(pause, cluster.lot.hurry.notified()).await;
        let parked = cluster.lot.take();
        if parked.is_empty() {
            return;
        }
        let left = look(&cluster, &closer, parked).await;
        pause = match left.is_empty() {
            true => FIRST,
            false => (pause * 2).min(LONGEST),
        };
        cluster.lot.put_back(left);
    }
}

/// One look; gives those that are still there, or may be.
async fn look(cluster: &Arc<Cluster>, closer: &Closer, parked: Vec<Parked>) -> Vec<Parked> {
    let Ok(_one) = cluster.reserve.acquire().await else {
        return parked;
    };
    let mut by_login: HashMap<RoleName, Vec<Parked>> = HashMap::new();
    for one in parked {
        by_login.entry(one.login().clone()).or_default().push(one);
    }
    let serving = match serving(cluster, closer, &by_login).await {
        View::Seen(serving) => serving,
        View::NobodyListens => return Vec::new(),
        View::Unseen => return by_login.into_values().flatten().collect(),
        View::Refused => {
            let all = by_login.into_values().flatten();
            return all.filter(|one| one.since.elapsed() < BLIND).collect();
        }
    };
    let mut left = Vec::new();
    for (login, mut there) in by_login {
        there.retain(|one| serving.get(&one.backend.pid) == Some(&login));
        let Some(first) = there.first() else { continue };
        let Ok(mut conn) = closer.log_in(&first.slot.generation).await else {
            left.extend(there);
            continue;
        };
        let backends = there.iter().map(|one| (one.backend, one.since.elapsed()));
        let backends: Vec<_> = backends.collect();
        match timeout(END, session::end_older(&mut conn, &backends)).await {
            Ok(Ok(still)) => left.extend(
                there
                    .into_iter()
                    .filter(|one| still.contains(&one.backend.pid)),
            ),
            _ => left.extend(there),
        }
        let _ = timeout(END, conn.close()).await;
    }
    left
}

enum View {
    /// Which login each process serves.
    Seen(HashMap<i32, RoleName>),
    NobodyListens,
    Unseen,
    /// No login gets in.
    Refused,
}

async fn serving(
    cluster: &Arc<Cluster>,
    closer: &Closer,
    by_login: &HashMap<RoleName, Vec<Parked>>,
) -> View {
    let pids = by_login.values().flatten().map(|one| one.backend.pid);
    let pids: Vec<i32> = pids.collect();
    for parked in by_login.values().take(TRIED) {
        let Some(first) = parked.first() else {
            continue;
        };
        let mut conn: PgConnection = match closer.look_in(&first.slot.generation).await {
            Ok(conn) => conn,
            Err(OpenError::Refused { .. }) => continue,
            Err(error) if error.nobody_listens() => return View::NobodyListens,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "whether connections have ended cannot be seen yet"
                );
                if error.trouble() == Some(Trouble::Answered) {
                    continue;
                }
                return View::Unseen;
            }
        };
        cluster.lives();
        let seen = timeout(END, session::serving(&mut conn, &pids)).await;
        let _ = timeout(END, conn.close()).await;
        return match seen {
            Ok(Ok(seen)) => View::Seen(seen),
            _ => View::Unseen,
        };
    }
    View::Refused
}
