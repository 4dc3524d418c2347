//! What is read at each scrape from the parts that know it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use sqlx::PgPool;
use tenantry_catalog::clusters;
use tenantry_router::{BreakerState, ClusterStats, Router};
use tenantry_types::{Clock, ClusterId, metric};

/// How often a cluster that has no name yet is looked up.
const LOOK: Duration = Duration::from_secs(2);

/// The parts that are asked.
#[derive(Clone)]
pub struct Sources {
    router: Router,
    /// The control plane's, and the router's.
    pools: [PgPool; 2],
    names: Arc<Mutex<HashMap<ClusterId, String>>>,
    started: i64,
}

impl Sources {
    /// Those of a composed program.
    pub fn new(router: Router, pools: [PgPool; 2], clock: &Clock) -> Self {
        Self {
            router,
            pools,
            names: Arc::default(),
            started: clock.now().timestamp(),
        }
    }

    /// The router.
    pub(super) fn router(&self) -> &Router {
        &self.router
    }

    /// Learns the names of clusters, on which no scrape waits. Ends with the runtime.
    pub async fn keep_names(self) {
        loop {
            let missing = self.router.cluster_stats().iter().any(|stats| {
                let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                !names.contains_key(&stats.cluster)
            });
            if missing {
                self.learn_names().await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn learn_names(&self) {
        let all = async { clusters::list(&mut *self.pools[0].acquire().await?).await };
        // Without an answer they are learnt next time.
        let Ok(all) = all.await else { return };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.extend(all.into_iter().map(|cluster| (cluster.id, cluster.name)));
    }

    /// Sets every gauge.
    pub(super) fn read(&self) {
        self.router_itself();
        self.clusters();
        for (pool, name) in self.pools.iter().zip(["control", "router"]) {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            let set = |state: &'static str, count: u32| {
                let name = [("pool", name), ("state", state)];
                gauge!(metric::CATALOG_CONNECTIONS.name, &name).set(count);
            };
            set("idle", idle);
            set("used", pool.size().saturating_sub(idle));
        }
        gauge!(metric::BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1);
        gauge!(metric::PROCESS_START.name).set(self.started as f64);
        super::process::read();
    }

    fn router_itself(&self) {
        let stats = self.router.stats();
        gauge!(metric::ROUTER_TENANTS.name).set(stats.tenants as f64);
        gauge!(metric::ROUTER_APPLIED.name).set(stats.applied as f64);
        gauge!(metric::ROUTER_ACKED.name).set(stats.acked as f64);
        gauge!(metric::ROUTER_LAG_SECONDS.name).set(stats.behind);
        gauge!(metric::ROUTER_LEASE.name).set(u8::from(stats.lease_ok));
        gauge!(metric::ROUTER_AWAY.name).set(u8::from(stats.away));
        counter!(metric::ROUTER_WRONG_DATABASE.name).absolute(stats.wrong_database);
        counter!(metric::ROUTER_UNSEEN_ENDS.name).absolute(stats.unseen_ends);
    }

    fn clusters(&self) {
        let all = self.router.cluster_stats();
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for stats in &all {
            if let Some(name) = names.get(&stats.cluster) {
                cluster(name, stats);
            }
        }
        let closed = |reason: &'static str, of: fn(&ClusterStats) -> u64| {
            let sum = all.iter().map(of).sum();
            counter!(metric::ROUTER_CLOSED.name, "reason" => reason).absolute(sum);
        };
        closed("idle", |stats| stats.closed_idle);
        closed("room", |stats| stats.closed_for_room);
        closed("retired", |stats| stats.closed_retired);
    }
}

fn cluster(name: &str, stats: &ClusterStats) {
    let name = || name.to_owned();
    let busy = stats.idle.saturating_add(stats.leased);
    for (state, count) in [
        ("idle", stats.idle),
        ("leased", stats.leased),
        ("changing", stats.open.saturating_sub(busy)),
    ] {
        gauge!(metric::ROUTER_CONNECTIONS.name, "cluster" => name(), "state" => state)
            .set(count as f64);
    }
    for state in BreakerState::ALL {
        gauge!(metric::ROUTER_BREAKER.name, "cluster" => name(), "state" => state.word())
            .set(u8::from(stats.breaker == state));
    }
    counter!(metric::ROUTER_BREAKER_OPENED.name, "cluster" => name())
        .absolute(stats.breaker_opened);
    gauge!(metric::ROUTER_CONNECTING.name, "cluster" => name()).set(stats.connecting as f64);
    gauge!(metric::ROUTER_WAITING.name, "cluster" => name()).set(stats.waiting as f64);
    gauge!(metric::ROUTER_BUDGET_USED.name, "cluster" => name()).set(stats.open as f64);
    gauge!(metric::ROUTER_BUDGET.name, "cluster" => name()).set(stats.limit as f64);
    gauge!(metric::CLUSTER_BUDGET.name, "cluster" => name()).set(stats.budget as f64);
}
