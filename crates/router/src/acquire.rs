//! From a route to a leased, proven connection.
//!
//! Whatever is wrong with a route, nothing is handed out that was not proven: a route that a change
//! has overtaken is resolved anew, one whose login or database refuses or is another's is read anew
//! once, and then it fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use tenantry_types::{ErrorKind, TenantId};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::Router;
use crate::budget::{Asked, Cluster, Grant, Limit, Probe, Silence, Trouble, Want};
use crate::conn::TenantConn;
use crate::connect::OpenError;
use crate::failures::Failure;
use crate::generation::Generation;
use crate::lease::Gate;
use crate::places::Drain;
use crate::pools::{Lease, Open, Slot};
use crate::resolve::{ResolveError, Route, served};
use crate::session;
use crate::spans;

/// How long an idle connection may take to answer before it is given up.
const ANSWER: Duration = Duration::from_secs(1);
/// How often a route may turn out to be overtaken by changes before we give up.
const OVERTAKEN: usize = 4;

/// Why no connection was handed out.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// All connections that may be open are in use, and none came back in time.
    #[error("no connection became free in time")]
    Busy(Limit),
    /// The tenant's database cannot be reached.
    #[error("the tenant's database is not available")]
    Unavailable,
    /// The tenant's server answered nobody lately, and nobody asks it just now.
    #[error("the tenant's server does not answer")]
    ServerDown {
        /// When somebody will, about.
        looks_in: Duration,
    },
    /// Another database answered than the tenant's. Fails closed; an alarm was raised.
    #[error("the tenant's database could not be proven")]
    WrongDatabase,
    /// The server refuses the tenant's login: it was closed, or its password changed, and the
    /// catalog knows no better.
    #[error("the tenant's login is refused")]
    Fenced,
    /// The route was overtaken by a change, and the tenant may not be served any more.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

impl AcquireError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Resolve(error) => error.kind(),
            _ => ErrorKind::Unavailable,
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy(Limit::Tenant) => "TENANT_BUSY",
            Self::Busy(Limit::Cluster) => "POOL_EXHAUSTED",
            Self::Unavailable | Self::ServerDown { .. } | Self::WrongDatabase | Self::Fenced => {
                "DATABASE_UNAVAILABLE"
            }
            Self::Resolve(error) => error.code(),
        }
    }

    /// After how long another try makes sense, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Resolve(error) => error.retry_after(),
            // In whole seconds, as `Retry-After` counts.
            Self::ServerDown { looks_in } => {
                Some(Duration::from_secs(looks_in.as_secs().saturating_add(1)))
            }
            _ => Some(Duration::from_secs(1)),
        }
    }
}

/// Why a generation gave no lease.
enum NoLease {
    /// It was retired: resolve again.
    Retired,
    /// Its login, its database or its identity is not what the route says.
    Stale(OpenError, Failure),
    Failing(Failure),
    Busy(Limit),
    Unavailable,
    /// Its server answers nobody.
    Down(Duration),
    /// The router ends.
    Shut,
}

/// What came of asking an idle connection whether it is alive.
enum Answer {
    Alive(Lease),
    /// Its end was seen, or something on it went wrong.
    Broken,
    /// Nothing came in time.
    Silent,
}

impl Router {
    /// A connection to the tenant's database, proven when it was opened.
    ///
    /// # Errors
    /// By variant, see [`AcquireError`].
    pub async fn acquire(&self, route: &Route) -> Result<TenantConn, AcquireError> {
        // Boxed: its size would else be part of that of every request's future, and its type would
        // meet the compiler's query depth in a product's own crate.
        let acquired = self.acquire_uncounted(route).boxed().await;
        if let Err(error) = &acquired {
            self.inner.acquires.failed(error);
            self.inner.trouble.failed(route.tenant_id(), error);
        }
        acquired
    }

    async fn acquire_uncounted(&self, route: &Route) -> Result<TenantConn, AcquireError> {
        self.pass_gate().await?;
        let mut route = route.clone();
        let mut read_anew = false;
        for _ in 0..OVERTAKEN {
            let generation = match &route.0.generation {
                Some(generation) if !generation.is_retired() => Arc::clone(generation),
                _ => {
                    route = self.resolve_again(&route).await?;
                    continue;
                }
            };
            match self.lease(&generation, read_anew).await {
                Ok(mut lease) => {
                    // The wait may have outlived the router's own lease; what was granted goes back.
                    if self.inner.lease.gate() != Gate::Open {
                        self.pass_gate().await?;
                        if generation.is_retired() {
                            continue;
                        }
                    }
                    // Its backend was ended, or will be; dropped, it is closed.
                    if generation.cluster.is_lost(lease.get().incarnation()) {
                        continue;
                    }
                    lease.get_mut().witness |= self.inner.lease.is_running();
                    return Ok(TenantConn::new(lease));
                }
                Err(NoLease::Retired) => {}
                Err(NoLease::Busy(limit)) => return Err(AcquireError::Busy(limit)),
                Err(NoLease::Unavailable) => return Err(AcquireError::Unavailable),
                Err(NoLease::Down(looks_in)) => {
                    return Err(AcquireError::ServerDown { looks_in });
                }
                Err(NoLease::Shut) => return Err(ResolveError::Unavailable.into()),
                Err(NoLease::Failing(failure)) => return Err(failure.into()),
                Err(NoLease::Stale(error, _)) if !read_anew => {
                    read_anew = true;
                    route = self.read_anew(&generation, &error).await?;
                }
                Err(NoLease::Stale(error, failure)) => {
                    return Err(self.stale_for_good(&generation, &error, failure));
                }
            }
        }
        Err(AcquireError::Unavailable)
    }

    /// The route of a tenant whose place was given up.
    pub(crate) async fn resolve_again(&self, route: &Route) -> Result<Route, ResolveError> {
        served(self.inner.cache.by_id(route.tenant_id()).await?)
    }

    /// The first time that a route is found wrong: perhaps only this router is behind.
    async fn read_anew(
        &self,
        generation: &Arc<Generation>,
        error: &OpenError,
    ) -> Result<Route, ResolveError> {
        tracing::warn!(
            tenant = %generation.tenant,
            error = error as &dyn std::error::Error,
            "a route is stale: reading it anew"
        );
        let places = &self.inner.cache.places;
        places.drain(generation, Drain::Cut);
        self.inner.log.hint.notify_one();
        served(self.inner.cache.reload(generation.tenant).await?)
    }

    /// The second time: the catalog itself leads to the wrong place.
    fn stale_for_good(
        &self,
        generation: &Arc<Generation>,
        error: &OpenError,
        failure: Failure,
    ) -> AcquireError {
        if failure == Failure::WrongDatabase {
            self.inner.wrong_database.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                tenant = %generation.tenant,
                error = error as &dyn std::error::Error,
                "ALARM: the catalog's route leads to another database; nothing was handed out"
            );
        } else {
            tracing::error!(
                tenant = %generation.tenant,
                error = error as &dyn std::error::Error,
                "a tenant's login is refused"
            );
        }
        self.inner.cache.places.drain(generation, Drain::Cut);
        failure.into()
    }

    /// `final_try`: the route was read anew already, so that what is stale now stays so.
    async fn lease(&self, generation: &Arc<Generation>, final_try: bool) -> Result<Lease, NoLease> {
        let cluster = &generation.cluster;
        let deadline = Instant::now() + self.inner.config.acquire_wait;
        let mut probe: Option<Probe> = None;
        let mut want = Want::Any;
        loop {
            let grant = match cluster.ask(generation, want) {
                Asked::Now(grant) => grant,
                Asked::Wait(waiter) => {
                    let begun = Instant::now();
                    let left = deadline.saturating_duration_since(begun);
                    let span = spans::acquire(generation.tenant);
                    let granted = waiter.wait(left).instrument(span.clone()).await;
                    spans::end(&span, granted.as_ref().err().map(|limit| limit.word()));
                    self.inner.acquires.waits.record(begun.elapsed());
                    self.inner.trouble.waited(generation.tenant);
                    granted.map_err(NoLease::Busy)?
                }
                Asked::Down => {
                    probe = cluster.probe(generation.tenant).map_err(NoLease::Down)?;
                    if probe.is_some() {
                        want = Want::Probe;
                    }
                    continue;
                }
            };
            match grant {
                Grant::Lease(lease) if lease.trusted => return Ok(lease),
                Grant::Lease(lease) => {
                    let begun = Instant::now();
                    match still_there(lease).await {
                        Answer::Alive(lease) => return Ok(lease),
                        Answer::Broken => {}
                        Answer::Silent => match want {
                            Want::Any => match cluster.silent(generation.tenant, begun) {
                                // Those beside it are as old: they are not asked one by one.
                                Silence::OfOne => cluster.forsake(generation, begun),
                                Silence::Probe(looks) => {
                                    probe = Some(looks);
                                    want = Want::New;
                                }
                                Silence::Down(pause) => return Err(NoLease::Down(pause)),
                            },
                            Want::Probe => want = Want::New,
                            // There was no room for a new one, and this one is silent as well.
                            Want::New => {
                                let trouble = Trouble::Perhaps;
                                cluster.failed(generation, trouble, probe.as_ref(), begun);
                                return Err(NoLease::Unavailable);
                            }
                        },
                    }
                }
                Grant::Slot(slot) => return self.open(slot, final_try, probe).await,
                Grant::Busy(limit) => return Err(NoLease::Busy(limit)),
                Grant::Retired => return Err(NoLease::Retired),
                Grant::Failing => return Err(self.failing(generation.tenant)),
                Grant::Down(pause) => return Err(NoLease::Down(pause)),
                Grant::Shut => return Err(NoLease::Shut),
            }
        }
    }

    fn failing(&self, tenant: TenantId) -> NoLease {
        match self.inner.failures.admit(tenant, None) {
            Err(failure) => NoLease::Failing(failure),
            Ok(_) => NoLease::Unavailable,
        }
    }

    /// Opens a connection in a slot. It goes on when the one who asked goes away: what was begun
    /// holds its slot to the end, and the next one finds a connection.
    async fn open(
        &self,
        slot: Slot,
        final_try: bool,
        probe: Option<Probe>,
    ) -> Result<Lease, NoLease> {
        let (sender, receiver) = oneshot::channel();
        let router = self.clone();
        // Of the request's trace, also when it goes on without the request.
        let span = spans::connect(slot.generation.tenant);
        let opening = async move {
            // What nobody takes goes back by being dropped.
            let _ = sender.send(router.opened(slot, final_try, probe).await);
        };
        self.inner.tasks.spawn(opening.instrument(span));
        receiver.await.unwrap_or(Err(NoLease::Unavailable))
    }

    /// Whether a login may begin now: while our lease runs, nobody else has our slots; without the
    /// catalog, only a connection that answers shows it. See [`crate::shares`]. To be asked right
    /// before the login, after whatever had to be waited for.
    async fn may_open(&self, cluster: &Arc<Cluster>) -> bool {
        if self.pass_gate().await.is_err() {
            return false;
        }
        match self.inner.lease.gate() {
            Gate::Open => true,
            Gate::Away => cluster.answers().await,
            Gate::Shut | Gate::Unknown => false,
        }
    }

    async fn opened(
        &self,
        slot: Slot,
        final_try: bool,
        probe: Option<Probe>,
    ) -> Result<Lease, NoLease> {
        let generation = Arc::clone(&slot.generation);
        let cluster = &generation.cluster;
        let begun = Instant::now();
        // While the server was down nobody could be reached, which is no tenant's fault.
        let excused = match &probe {
            Some(_) => Some(begun),
            None => cluster.recovered_at(),
        };
        let attempt = match self.inner.failures.admit(generation.tenant, excused) {
            Ok(attempt) => attempt,
            Err(failure) => {
                drop(slot);
                cluster.fail_waiters(&generation);
                return Err(NoLease::Failing(failure));
            }
        };
        if !self.may_open(&generation.cluster).await {
            drop(slot);
            return Err(NoLease::Unavailable);
        }
        // Of a share that was taken away meanwhile: what would be opened in it counts in no share.
        if cluster.is_lost(slot.incarnation()) {
            drop(slot);
            return Err(NoLease::Retired);
        }
        match self.inner.connector.open(&generation.place).await {
            Ok(fresh) => {
                attempt.succeeded();
                self.inner.trouble.opened(&generation);
                let mut open = Open::new(fresh.conn, fresh.backend, slot);
                open.witness = self.inner.lease.is_running();
                match cluster.opened(open) {
                    Grant::Lease(lease) => Ok(lease),
                    _ => Err(NoLease::Retired),
                }
            }
            Err((error, late)) => {
                let server_down = match error.trouble() {
                    None => false,
                    Some(Trouble::Answered) => {
                        cluster.lives();
                        false
                    }
                    Some(trouble) => cluster.failed(&generation, trouble, probe.as_ref(), begun),
                };
                self.inner.trouble.refused(&generation, &error);
                let failure = match &error {
                    OpenError::WrongDatabase { .. } => Failure::WrongDatabase,
                    OpenError::Refused { .. } => Failure::Fenced,
                    OpenError::Sealed(_) | OpenError::Unavailable(_) => Failure::Unavailable,
                };
                if !server_down && (failure == Failure::Unavailable || final_try) {
                    attempt.failed(failure);
                    cluster.fail_waiters(&generation);
                }
                // The server may still be busy with an attempt that took too long, or with a session
                // that was open and was left; one that it answered is over.
                match late {
                    Some(attempt) => self.await_late(slot, attempt),
                    None if error.is_over() => drop(slot),
                    None => self.inner.tasks.keep(slot),
                }
                if failure != Failure::Unavailable {
                    return Err(NoLease::Stale(error, failure));
                }
                tracing::warn!(
                    tenant = %generation.tenant,
                    error = &error as &dyn std::error::Error,
                    "a tenant's database cannot be reached"
                );
                Err(NoLease::Unavailable)
            }
        }
    }
}

/// Asks an idle connection whether it is alive.
async fn still_there(mut lease: Lease) -> Answer {
    // Cancelled in between, the answer is still to come: not simply put back.
    lease.mark_used();
    let cluster = Arc::clone(&lease.generation().cluster);
    match timeout(ANSWER, session::is_idle(&mut lease.get_mut().conn)).await {
        Ok(Ok(true)) => {
            cluster.lives();
            Answer::Alive(lease)
        }
        // Those that are as old will be asked too. Dropped, it is looked at and ended.
        Ok(_) => {
            cluster.suspect();
            Answer::Broken
        }
        Err(_) => {
            cluster.suspect();
            Answer::Silent
        }
    }
}
