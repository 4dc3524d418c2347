//! The clusters and generations that this router deals with, and how a generation ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantry_catalog::routes::Route as Row;
use tenantry_types::{ClusterId, TenantId};
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
const CUT: Duration = Duration::from_secs(30);

/// Clusters and generations.
pub(crate) struct Places {
    clusters: Mutex<HashMap<ClusterId, Arc<Cluster>>>,
    generations: Arc<Generations>,
    progress: Arc<Progress>,
    config: Arc<Config>,
    tasks: Tasks,
}

/// What becomes of the leases of a generation that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// They are waited for, and ended on the server after the deadline.
    Cut,
    /// They end when they end; nobody waits for it.
    Soft,
}

impl Places {
    pub(crate) fn new(config: Arc<Config>, progress: Arc<Progress>, tasks: Tasks) -> Self {
        Self {
            clusters: Mutex::default(),
            generations: Arc::default(),
            progress,
            config,
            tasks,
        }
    }

    /// Makes an entry of a row that was just read. A former place of the tenant begins to drain.
    /// Callers hold the cache's lock on the tenant.
    pub(crate) fn enter(&self, row: Row, ttl: Duration) -> Entry {
        let generation = place_of(&row).map(|place| {
            let cluster = self.cluster(&row);
            let placed = self
                .generations
                .of(row.tenant_id, place, row.read_at, &cluster);
            if let Some(former) = placed.replaced {
                self.drain(&former, Drain::Cut);
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
    /// change log that is not applied yet is acknowledged before its leases are over.
    pub(crate) fn drain(&self, generation: &Arc<Generation>, how: Drain) {
        let held = self.progress.draining();
        generation.cluster.retire(generation);
        if how == Drain::Cut && generation.cluster.busy(generation) > 0 {
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

    fn cluster(&self, row: &Row) -> Arc<Cluster> {
        let cluster = {
            let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(clusters.entry(row.cluster_id).or_insert_with(|| {
                Arc::new(Cluster::new(self.config.per_tenant_max, self.tasks.clone()))
            }))
        };
        let budget = self.config.budget_override.unwrap_or(row.connection_budget);
        cluster.set_limit(usize::try_from(budget).unwrap_or(usize::MAX), row.read_at);
        cluster
    }
}

/// Waits for the leases of a retired generation, and ends those that are left at the deadline.
async fn drained(generation: Arc<Generation>, deadline: Duration, tasks: Tasks, held: Draining) {
    let cluster = Arc::clone(&generation.cluster);
    let now = Instant::now();
    let (deadline, give_up) = (now + deadline, now + deadline + CUT);
    let over = async {
        loop {
            let given_back = generation.given_back.notified();
            if cluster.busy(&generation) == 0 {
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
    loop {
        let leased = cluster.leased(&generation);
        tracing::info!(%tenant, connections = leased.len(), "ending connections that outlived their deadline");
        let cut = tasks.closer.terminate(&generation, &leased).await;
        if cut && cluster.busy(&generation) <= leased.len() {
            break;
        }
        if timeout(Duration::from_secs(1), &mut over).await.is_ok() {
            break;
        }
        if Instant::now() >= give_up {
            tracing::error!(%tenant, "connections could not be ended: their server does not answer");
            break;
        }
    }
    drop(held);
}
