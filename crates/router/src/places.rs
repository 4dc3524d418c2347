//! The clusters and generations that this router deals with, and how a generation ends.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantry_catalog::routes::Route as Row;
use tenantry_catalog::shares::Use;
use tenantry_types::{ClusterId, Entropy, RootCa, TenantId};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::{Cluster, Count};
use crate::config::Config;
use crate::entry::{Entry, place_of};
use crate::generation::{Generation, Generations};
use crate::progress::{Draining, Progress};
use crate::router::ClusterStats;
use crate::tasks::Tasks;
use crate::trouble::Ranked;

/// How long a cut is tried while the server cannot be reached. A connection to it is of no use to
/// its holder either, and one dead server must not keep all others' changes from being acknowledged.
/// A request is ended where its handler waits; one that never does is given as long.
const CUT: Duration = Duration::from_secs(30);

/// Clusters and generations.
pub(crate) struct Places {
    clusters: Mutex<HashMap<ClusterId, Arc<Cluster>>>,
    authorities: Mutex<HashMap<ClusterId, RootCa>>,
    generations: Arc<Generations>,
    progress: Arc<Progress>,
    config: Arc<Config>,
    tasks: Tasks,
    entropy: Entropy,
    /// Told when a cluster has something to report of its share.
    report_due: Arc<Notify>,
    turns: Turns,
}

/// Which clusters a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every one that was met.
    All,
    /// These.
    These(HashSet<ClusterId>),
    /// Those of which there is something to say, and so many of the others by turns: what a router was not
    /// told of one of them it then asks for.
    News { besides: usize },
}

/// Whose turn it is.
#[derive(Default)]
struct Turns(Mutex<Option<ClusterId>>);

impl Turns {
    /// So many of these, beginning after the one that was last.
    fn next<T>(&self, count: usize, mut all: Vec<(ClusterId, T)>) -> Vec<(ClusterId, T)> {
        if count == 0 {
            return Vec::new();
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.sort_unstable_by_key(|(id, _)| (last.is_some_and(|last| *id <= last), *id));
        all.truncate(count);
        *last = all.last().map(|(id, _)| *id);
        all
    }
}

/// What becomes of the leases and requests of a generation that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// They are waited for, and ended after the deadline: leases on the server, requests here.
    Cut,
    /// They end when they end; nobody waits for it.
    Soft,
}

impl Drain {
    /// How a generation ends that another one takes over from.
    pub(crate) fn of(former: &Generation, next: &Generation) -> Self {
        match former.place.goes_on_beside(&next.place) {
            true => Self::Soft,
            false => Self::Cut,
        }
    }
}

impl Places {
    pub(crate) fn new(
        config: Arc<Config>,
        progress: Arc<Progress>,
        tasks: Tasks,
        entropy: Entropy,
        report_due: Arc<Notify>,
    ) -> Self {
        Self {
            clusters: Mutex::default(),
            authorities: Mutex::default(),
            generations: Arc::default(),
            progress,
            config,
            tasks,
            entropy,
            report_due,
            turns: Turns::default(),
        }
    }

    /// Makes an entry of a row that was just read. A former place of the tenant begins to drain.
    /// Callers hold the cache's lock on the tenant.
    pub(crate) fn enter(&self, mut row: Row, ttl: Duration) -> Entry {
        let authority = row.root_ca.take();
        row.root_ca = authority.map(|read| self.authority(row.cluster_id, read));
        let generation = place_of(&row).map(|place| {
            let cluster = self.known(row.cluster_id);
            let cap = self.config.connections_of(&row.plan, row.max_connections);
            let placed = self
                .generations
                .of(row.tenant_id, place, row.read_at, cap, &cluster);
            // The plan may have changed and the place not: its connections stay.
            cluster.set_cap(&placed.generation, cap);
            if let Some(former) = placed.replaced {
                self.drain(&former, Drain::of(&former, &placed.generation));
            }
            placed.generation
        });
        Entry::new(row, generation, ttl)
    }

    /// The living generation of a tenant.
    pub(crate) fn living(&self, tenant: TenantId) -> Option<Arc<Generation>> {
        self.generations.get(tenant)
    }

    /// All living generations.
    pub(crate) fn all_living(&self) -> Vec<Arc<Generation>> {
        self.generations.all()
    }

    /// Ends a generation: at once nothing of it is handed out. With [`Drain::Cut`] no row of the
    /// change log that is not applied yet is acknowledged before its leases and requests are over.
    pub(crate) fn drain(&self, generation: &Arc<Generation>, how: Drain) {
        let held = self.progress.draining();
        generation.cluster.retire(generation);
        if how == Drain::Soft {
            return;
        }
        generation.mark_ending();
        if is_in_use(generation) {
            let work = drained(
                Arc::clone(generation),
                self.config.drain_deadline,
                self.tasks.clone(),
                held,
            );
            self.tasks.spawn(work);
        }
    }

    /// Every cluster that was met.
    pub(crate) fn clusters(&self) -> Vec<Arc<Cluster>> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.values().cloned().collect()
    }

    /// Slots and connections over all clusters.
    pub(crate) fn count(&self) -> Count {
        self.clusters()
            .iter()
            .map(Cluster::count)
            .fold(Count::default(), |sum, one| Count {
                open: sum.open + one.open,
                idle: sum.idle + one.idle,
                leased: sum.leased + one.leased,
                waiting: sum.waiting + one.waiting,
            })
    }

    /// How many connections each tenant has that has any, over all clusters.
    pub(crate) fn open_by_tenant(&self) -> Vec<Ranked> {
        let mut all: HashMap<TenantId, u64> = HashMap::new();
        for cluster in self.clusters() {
            cluster.add_open(&mut all);
        }
        let ranked = all.into_iter();
        ranked
            .map(|(tenant, count)| Ranked { tenant, count })
            .collect()
    }

    /// How this router is doing on each cluster.
    pub(crate) fn cluster_stats(&self) -> Vec<ClusterStats> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = clusters.iter().map(|(id, cluster)| cluster.stats(*id));
        stats.collect()
    }

    /// A cluster, met now if it was not before. One that is new has no share yet, and nothing is
    /// opened on it before the catalog gave it one.
    pub(crate) fn known(&self, id: ClusterId) -> Arc<Cluster> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clusters.entry(id).or_insert_with(|| {
            let due = Arc::clone(&self.report_due);
            let (rules, entropy) = (self.config.rules(), self.entropy.clone());
            Arc::new(Cluster::new(rules, self.tasks.clone(), entropy, due))
        });
        Arc::clone(known)
    }

    /// Forgets a cluster that was removed. No tenant is there any more; what is still held of it, connections
    /// whose end was not seen, is of no budget.
    pub(crate) fn forget(&self, id: ClusterId) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.remove(&id);
        drop(clusters);
        let mut authorities = self
            .authorities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        authorities.remove(&id);
    }

    /// The authority of a cluster's certificate, one copy for all its tenants.
    fn authority(&self, cluster: ClusterId, read: RootCa) -> RootCa {
        let mut known = self
            .authorities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match known.get(&cluster) {
            Some(known) if *known == read => known.clone(),
            _ => {
                known.insert(cluster, read.clone());
                read
            }
        }
    }

    /// What the catalog is to know of some clusters; see [`Cluster::usage`].
    pub(crate) fn usages(&self, of: &Scope, most: usize) -> Vec<Use> {
        let mut clusters: Vec<_> = {
            let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            let all = clusters.iter().map(|(id, one)| (*id, Arc::clone(one)));
            all.collect()
        };
        match of {
            Scope::All => {}
            Scope::These(these) => clusters.retain(|(id, _)| these.contains(id)),
            Scope::News { besides } => {
                let (mut news, quiet): (Vec<_>, Vec<_>) = clusters
                    .into_iter()
                    .partition(|(id, cluster)| cluster.has_news(*id, most));
                news.extend(self.turns.next(*besides, quiet));
                clusters = news;
            }
        }
        let usages = clusters.iter();
        usages.map(|(id, one)| one.usage(*id, most)).collect()
    }

    /// How many slots are taken on each cluster.
    pub(crate) fn open(&self) -> Vec<(ClusterId, u32)> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let open = clusters.iter().map(|(id, cluster)| {
            let open = u32::try_from(cluster.count().open).unwrap_or(u32::MAX);
            (*id, open)
        });
        open.collect()
    }
}

/// Whether it has a lease, or a request that is with the tenant by it.
fn is_in_use(generation: &Arc<Generation>) -> bool {
    generation.present.count() > 0 || generation.cluster.busy(generation) > 0
}

/// Waits for the leases and requests of a retired generation, and ends those that are left at the
/// deadline.
async fn drained(generation: Arc<Generation>, deadline: Duration, tasks: Tasks, held: Draining) {
    let cluster = Arc::clone(&generation.cluster);
    let now = Instant::now();
    let (deadline, give_up) = (now + deadline, now + deadline + CUT);
    let over = async {
        loop {
            let given_back = generation.given_back.notified();
            if !is_in_use(&generation) {
                return;
            }
            given_back.await;
        }
    };
    tokio::pin!(over);
    if timeout_at(deadline, &mut over).await.is_ok() {
        return;
    }
    let tenant = generation.tenant;
    let present = &generation.present;
    let requests = present.count();
    // First: what they still lease is ended on the server meanwhile.
    present.cut();
    loop {
        let leased = cluster.leased(&generation);
        tracing::info!(
            %tenant,
            connections = leased.len(),
            requests,
            "ending what outlived its deadline"
        );
        let cut = leased.is_empty() || tasks.closer.terminate(&generation, &leased).await;
        if cut && present.count() == 0 && cluster.busy(&generation) <= leased.len() {
            break;
        }
        if timeout(Duration::from_secs(1), &mut over).await.is_ok() {
            break;
        }
        if Instant::now() >= give_up {
            tracing::error!(
                %tenant,
                requests = present.count(),
                "not all could be ended: a server does not answer, or a handler never waits"
            );
            break;
        }
    }
    drop(held);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tried: without the last one remembered, the first two have every turn.
    #[test]
    fn each_has_its_turn() {
        let turns = Turns::default();
        let of = |numbers: &[u128]| {
            let all = numbers.iter();
            let ids = all.map(|n| (ClusterId::from_uuid(uuid::Uuid::from_u128(*n)), ()));
            ids.collect::<Vec<_>>()
        };
        let next = |all: &[u128], count| turns.next(count, of(all));
        assert_eq!(next(&[5, 3, 1, 4, 2], 2), of(&[1, 2]));
        assert_eq!(next(&[5, 3, 1, 4, 2], 0), of(&[]));
        // One has news meanwhile, and is none of these.
        assert_eq!(next(&[5, 1, 4, 2], 2), of(&[4, 5]));
        assert_eq!(next(&[5, 3, 1, 4, 2], 4), of(&[1, 2, 3, 4]));
        assert_eq!(next(&[5, 3, 1, 4, 2], 9), of(&[5, 1, 2, 3, 4]));
        assert_eq!(next(&[], 9), of(&[]));
    }
}
