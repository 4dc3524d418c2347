//! The router itself: its parts, its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use sqlx::PgPool;
use tenantry_catalog::{CatalogError, change_log, routers};
use tenantry_types::{Clock, ClusterId, Entropy, InstallationId, RouterId, TenantId};
use tenantry_vault::RouteKeys;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::budget::{BreakerState, Cluster};
use crate::cache::Cache;
use crate::change_log::ChangeLog;
use crate::closing::Closer;
use crate::config::Config;
use crate::connect::Connector;
use crate::failures::Failures;
use crate::host::{self, BadHost, HostName};
use crate::lease::{Gate, Lease};
use crate::meters::{self, Acquires};
use crate::places::{Drain, Places, Scope};
use crate::progress::Progress;
use crate::registration::Registration;
use crate::report::Reporter;
use crate::shares::Shares;
use crate::source::Source;
use crate::tasks::Tasks;
use crate::trouble::Trouble;
use crate::versions::Versions;

/// How long a router that ends tries to end its connections at least, and to take itself out of the
/// catalog at most.
const END: Duration = Duration::from_secs(5);
/// Connections of one cluster that it closes at a time.
const CLOSING: usize = 16;

/// Finds the tenant of a request and hands out proven connections to its database.
///
/// Cheap to clone; all clones are one router.
#[derive(Clone)]
pub struct Router {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) log: Arc<ChangeLog>,
    pub(crate) tasks: Tasks,
    pub(crate) stop: CancellationToken,
    /// Set before `stop`, which asks for a lock: every request looks here.
    pub(crate) stopping: AtomicBool,
    pub(crate) wrong_database: AtomicU64,
    pub(crate) acquires: Acquires,
    pub(crate) trouble: Arc<Trouble>,
    progress: Arc<Progress>,
    pub(crate) registration: Arc<Registration>,
    shares: Arc<Shares>,
    id: RouterId,
}

/// How a router is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Tenants that it remembers, about.
    pub tenants: u64,
    /// Slots taken over all clusters: connections being opened, leased, idle or being closed.
    pub open: usize,
    /// Connections that wait for a request.
    pub idle: usize,
    /// Connections in use, also those that were dropped and are still being looked at.
    pub leased: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// The change up to which nothing older is used.
    pub applied: i64,
    /// The change up to which, besides, nothing older is open.
    pub acked: i64,
    /// Whether its lease in the catalog is running.
    pub lease_ok: bool,
    /// Whether it serves what it knows because the catalog cannot be reached.
    pub away: bool,
    /// How often the catalog led to a database that was not the expected one. Any is an alarm.
    pub wrong_database: u64,
    /// Connections whose end on the server was not seen in time.
    pub unseen_ends: u64,
    /// How long ago the change log was last read to its end.
    pub behind: Duration,
}

/// How a router is doing on one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterStats {
    /// The cluster.
    pub cluster: ClusterId,
    /// Slots taken: connections being opened, leased, idle or being closed.
    pub open: usize,
    /// Connections that wait for a request.
    pub idle: usize,
    /// Connections in use.
    pub leased: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Of the slots: connections that are being opened.
    pub connecting: usize,
    /// Whether its server answers.
    pub breaker: BreakerState,
    /// How often it was found not to.
    pub breaker_opened: u64,
    /// How many this router may have open: its share of the budget.
    pub limit: usize,
    /// The whole budget, over all routers.
    pub budget: usize,
    /// Idle connections closed so far because they were unused for too long.
    pub closed_idle: u64,
    /// … because another tenant needed their slot.
    pub closed_for_room: u64,
    /// … because their tenant changed, moved or ended.
    pub closed_retired: u64,
}

impl Router {
    /// Registers a router and starts following the change log. `catalog` needs to read routes,
    /// domains and the change log, and to call the four functions by which a router tells of itself
    /// ([`tenantry_catalog::router_login`]); it should have five connections or more,
    /// of which one is kept for listening. `name` is for people.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn start(
        config: Config,
        catalog: PgPool,
        keys: RouteKeys,
        installation: InstallationId,
        clock: Clock,
        entropy: Entropy,
        name: &str,
    ) -> Result<Self, CatalogError> {
        let config = Arc::new(config);
        let id = RouterId::generate(&clock, &entropy);
        let lease = Arc::new(Lease::new(config.lease, config.away));
        let sent = Instant::now();
        let number = {
            let mut conn = catalog.acquire().await?;
            // Nothing is remembered yet, so everything up to here has been applied.
            let number = change_log::current(&mut conn).await?;
            routers::register(&mut conn, id, name, number, config.lease).await?;
            number
        };

        let key_ids = keys.ids().iter().map(ToString::to_string).collect();
        let connector = Connector::new(keys, installation, config.connect_timeout, id);
        let connector = Arc::new(connector);
        let stop = CancellationToken::new();
        let closer = Closer::new(Arc::clone(&connector));
        let tasks = Tasks::new(Arc::new(closer));
        let progress = Arc::new(Progress::starting_at(number));
        let report_due = Arc::new(Notify::new());
        let places = Places::new(
            Arc::clone(&config),
            Arc::clone(&progress),
            tasks.clone(),
            entropy.clone(),
            Arc::clone(&report_due),
        );
        let source = Source::new(catalog.clone());
        let versions = Versions::starting_at(number);
        let cache = Arc::new(Cache::new(Arc::clone(&config), source, places, versions));
        let failures = Arc::new(Failures::default());
        let shares = Arc::new(Shares::new(
            catalog.clone(),
            Arc::clone(&cache),
            Arc::clone(&config),
            id,
            report_due,
        ));
        // Boxed: it would make the future of a whole program's start too large.
        shares.exchange(number, Scope::All).boxed().await?;
        lease.renewed(sent);
        let log = Arc::new(ChangeLog::new(
            catalog.clone(),
            Arc::clone(&cache),
            Arc::clone(&failures),
            Arc::clone(&progress),
            Arc::clone(&shares),
            id,
        ));
        let trouble = Arc::new(Trouble::new(clock));
        let reporter = Reporter {
            catalog: catalog.clone(),
            id,
            cache: Arc::clone(&cache),
            progress: Arc::clone(&progress),
            trouble: Arc::clone(&trouble),
            keys: key_ids,
        };
        let registration = Arc::new(Registration {
            catalog,
            id,
            name: name.to_owned(),
            length: config.lease,
            lease: Arc::clone(&lease),
            log: Arc::clone(&log),
            progress: Arc::clone(&progress),
            shares: Arc::clone(&shares),
            losses: meters::lease_losses(),
            lost: AtomicBool::new(false),
            reporter,
        });
        let inner = Arc::new(Inner {
            config,
            cache,
            connector,
            failures,
            lease,
            log,
            tasks,
            stop,
            stopping: AtomicBool::new(false),
            wrong_database: AtomicU64::new(0),
            acquires: Acquires::new(),
            trouble,
            progress,
            registration,
            shares,
            id,
        });
        inner.begin();
        Ok(Self { inner })
    }

    /// This router's id: `application_name` of its connections is `tenantry/<id>`.
    #[must_use]
    pub fn id(&self) -> RouterId {
        self.inner.id
    }

    /// How long a router counts as alive after its last renewal.
    #[must_use]
    pub fn lease_length(&self) -> Duration {
        self.inner.config.lease
    }

    /// What a `Host` header names.
    ///
    /// # Errors
    /// When it is no host name with an optional port.
    pub fn parse_host(&self, host_header: &str) -> Result<HostName, BadHost> {
        host::parse(host_header, &self.inner.config.base_domains)
    }

    /// Forgets a tenant and ends its connections: idle ones at once, leased ones when they come
    /// back, or at the drain deadline. The next request resolves and connects anew. Says how many
    /// connections there were. This router only; for all, append a `disconnect` row.
    pub async fn disconnect(&self, tenant: TenantId) -> usize {
        let places = &self.inner.cache.places;
        self.inner.cache.forget(tenant, i64::MAX).await;
        let Some(living) = places.living(tenant) else {
            return 0;
        };
        let connections = living.cluster.held(&living);
        places.drain(&living, Drain::Cut);
        connections
    }

    /// The change up to which nothing that was read earlier is used any more.
    #[must_use]
    pub fn applied(&self) -> i64 {
        self.inner.progress.applied()
    }

    /// Waits until nothing that was read before change `number` is used any more by this router.
    /// Ends with the router, too.
    pub async fn wait_applied(&self, number: i64) {
        let mut applied = self.inner.progress.watch_applied();
        self.inner.log.hint.notify_one();
        tokio::select! {
            () = self.inner.stop.cancelled() => {}
            _ = applied.wait_for(|applied| *applied >= number) => {}
        }
    }

    /// As [`Router::wait_applied`], and until the connections that the changes end are over.
    pub async fn wait_drained(&self, number: i64) {
        let mut acked = self.inner.progress.watch_acked();
        self.inner.log.hint.notify_one();
        tokio::select! {
            () = self.inner.stop.cancelled() => {}
            _ = acked.wait_for(|acked| *acked >= number) => {}
        }
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let count = self.inner.cache.places.count();
        let gate = self.inner.lease.gate();
        Stats {
            tenants: self.inner.cache.len(),
            open: count.open,
            idle: count.idle,
            leased: count.leased,
            waiting: count.waiting,
            applied: self.inner.progress.applied(),
            acked: self.inner.progress.acked(),
            lease_ok: gate == Gate::Open,
            away: gate == Gate::Away,
            wrong_database: self.inner.wrong_database.load(Ordering::Relaxed),
            unseen_ends: self.inner.tasks.closer.unseen(),
            behind: self.inner.log.behind(),
        }
    }

    /// How it is doing on each cluster that it has met.
    #[must_use]
    pub fn cluster_stats(&self) -> Vec<ClusterStats> {
        self.inner.cache.places.cluster_stats()
    }

    /// How long [`Router::shutdown`] may take at most.
    #[must_use]
    pub fn shutdown_bound(&self) -> Duration {
        let config = &self.inner.config;
        // Leases, ends, what runs in the background, the last renewal, the goodbye.
        config.drain_deadline * 2 + self.inner.end_bound() + config.lease + END
    }

    /// Hands out nothing any more, waits for leases up to the drain deadline, ends what is idle, sees
    /// it gone, and takes this router out of the catalog: its shares are free at once.
    pub async fn shutdown(self) {
        // Boxed: large, and awaited once.
        self.shut_down().boxed().await;
    }

    async fn shut_down(self) {
        self.inner.stopping.store(true, Ordering::Release);
        self.inner.stop.cancel();
        let inner = &self.inner;
        let left = CancellationToken::new();
        let ended = async {
            inner.end_all().await;
            left.cancel();
            // A renewal that is under way comes before the goodbye.
            tokio::time::sleep(inner.config.lease).await;
        };
        tokio::select! {
            () = inner.stay(&left) => {}
            () = ended => {}
        }
        let left = timeout(END, inner.shares.leave()).await;
        let left = left.map_err(|_| CatalogError::Unavailable(sqlx::Error::PoolTimedOut));
        if let Err(error) = left.flatten() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the router could not be taken out of the catalog; its lease will run out"
            );
        }
        // The catalog counts on what it was told of; nobody else does any more.
        for cluster in inner.cache.places.clusters() {
            cluster.lot.close();
        }
    }
}

impl Inner {
    /// Until it leaves a router that ends counts as alive: a reaper would end what still runs, and a
    /// change waits for it, so that it goes on to follow them.
    async fn stay(&self, left: &CancellationToken) {
        let listen = async {
            if self.config.listen {
                Arc::clone(&self.log).listen(left.clone()).await;
            }
        };
        tokio::join!(
            Arc::clone(&self.registration).keep(left.clone()),
            Arc::clone(&self.log).follow(self.config.poll, left.clone()),
            listen,
        );
    }

    async fn end_all(&self) {
        let clusters = self.cache.places.clusters();
        for cluster in &clusters {
            cluster.shut();
        }
        let deadline = Instant::now() + self.config.drain_deadline;
        while self.cache.places.count().leased > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // A server that does not answer must not keep the others' connections from being closed.
        let ends = clusters.iter().map(|cluster| self.end(cluster));
        let _ = timeout(self.end_bound(), futures::future::join_all(ends)).await;
        self.tasks.tracker.close();
        for cluster in &clusters {
            cluster.lot.hurry.notify_one();
        }
        let _ = timeout(self.config.drain_deadline, self.tasks.tracker.wait()).await;
    }

    fn end_bound(&self) -> Duration {
        self.config.drain_deadline.max(END)
    }

    /// Ends what a cluster still has open: what is leased on the server, what is idle with a word, a
    /// few at a time. Each is seen gone, so that its slot is free for others when the router leaves.
    async fn end(&self, cluster: &Arc<Cluster>) {
        for generation in cluster.in_use() {
            let leased = cluster.leased(&generation);
            tracing::info!(
                tenant = %generation.tenant,
                connections = leased.len(),
                "ending connections that outlived the router"
            );
            self.tasks.closer.terminate(&generation, &leased).await;
        }
        futures::stream::iter(cluster.take_all_idle())
            .for_each_concurrent(CLOSING, async |open| {
                self.tasks.closer.close(open).await;
            })
            .await;
    }

    fn begin(self: &Arc<Self>) {
        let (poll, stop) = (self.config.poll, &self.stop);
        self.tasks
            .spawn(Arc::clone(&self.log).follow(poll, stop.clone()));
        if self.config.listen {
            self.tasks.spawn(Arc::clone(&self.log).listen(stop.clone()));
        }
        self.tasks
            .spawn(Arc::clone(&self.registration).keep(stop.clone()));
        let cache = Arc::clone(&self.cache);
        self.tasks
            .spawn(sweep(cache, self.config.idle, stop.clone()));
    }
}

impl Drop for Inner {
    /// A router that was dropped without [`Router::shutdown`] stops renewing its lease, and who reaps it
    /// sees to what it left.
    fn drop(&mut self) {
        self.stop.cancel();
        for cluster in self.cache.places.clusters() {
            cluster.lot.close();
        }
    }
}

/// Closes connections that were idle for too long, from the oldest end of each cluster's list.
async fn sweep(cache: Arc<Cache>, idle: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let now = Instant::now();
        let next = cache
            .places
            .clusters()
            .iter()
            .filter_map(|cluster| cluster.sweep(idle))
            .min();
        let next = next
            .unwrap_or(now + idle)
            .max(now + Duration::from_millis(10));
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}
