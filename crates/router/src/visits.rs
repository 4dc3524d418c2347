//! Requests that are with a tenant, so that a change of it can wait for them and, at its deadline, end
//! them. What they do there is not known here; their connections are counted by their pools.
//!
//! A change that ends a tenant's place retires the generation and then looks who is there; a request
//! says that it is there and then looks whether the generation was retired. One of the two sees the
//! other, which is why all of these are `SeqCst`.
//!
//! Whoever serves a request owns its [`Visits`] and runs it within [`Visits::until_cut`]; whatever finds
//! the request's tenant has the [`Entrance`]. A request counts once for a generation, by however many
//! names it found it. When the owner goes (the answer was sent, the client left, the handler
//! panicked) so do the visits, whatever else still has the entrance.

#[cfg(feature = "axum")]
mod streams;

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::Router;
use crate::generation::Generation;
use crate::resolve::{ResolveError, Route};

#[cfg(feature = "axum")]
pub(crate) use streams::Streams;

/// How often a route may turn out to be overtaken by changes before we give up.
const OVERTAKEN: usize = 4;

/// Who is with a generation.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// Requests that are being worked on, and streams that are asked for their next part right now.
    working: AtomicUsize,
    /// Answers whose bodies are not at their end.
    streaming: AtomicUsize,
    /// Their time is over.
    cut: AtomicBool,
    told: CancellationToken,
}

impl Present {
    /// How many keep a retired generation from being over. After the cut a stream does so only while
    /// it is being asked for a part: it will not give another, even if its client never reads on.
    pub(crate) fn count(&self) -> usize {
        // In this order: one that goes from the first to the second is seen in one of them.
        let working = self.working.load(Ordering::SeqCst);
        match self.is_cut() {
            true => working,
            false => working + self.streaming.load(Ordering::SeqCst),
        }
    }

    /// Ends all that are there, each at its next step.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.told.cancel();
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

/// One request at one generation.
struct Visit {
    generation: Arc<Generation>,
    streaming: bool,
}

impl Visit {
    /// None when the generation gives out nothing any more.
    fn begin(generation: &Arc<Generation>) -> Option<Self> {
        let visit = Self::counted(generation, false);
        (!generation.is_retired()).then_some(visit)
    }

    fn counted(generation: &Arc<Generation>, streaming: bool) -> Self {
        let visit = Self {
            generation: Arc::clone(generation),
            streaming,
        };
        visit.counter().fetch_add(1, Ordering::SeqCst);
        visit
    }

    fn counter(&self) -> &AtomicUsize {
        let present = &self.generation.present;
        match self.streaming {
            true => &present.streaming,
            false => &present.working,
        }
    }

    /// One less is counted, and whoever waits for that is told.
    fn end(&self, counter: &AtomicUsize) {
        counter.fetch_sub(1, Ordering::SeqCst);
        if self.generation.is_retired() {
            self.generation.given_back.notify_waiters();
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.end(self.counter());
    }
}

/// The visits of one request.
#[derive(Default)]
pub struct Visits(Arc<Book>);

type Book = Mutex<Vec<Visit>>;

/// Where a request says which tenant it found. Cheap to clone; of no effect when the request is over.
#[derive(Clone)]
pub struct Entrance(Weak<Book>);

/// The tenant changed, and the request went on beyond the time that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request was ended: its tenant changed, and the time to finish was over")]
pub struct Cut;

impl Visits {
    /// Of a request that found no tenant yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For what finds the tenant.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        Entrance(Arc::downgrade(&self.0))
    }

    /// Whether the request found a tenant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Does the request's work, and drops it in the middle when one of its tenants has changed and
    /// the deadline is over. The tenant must be found in the same task.
    ///
    /// # Errors
    /// [`Cut`], when it was dropped.
    pub async fn until_cut<T>(&self, work: impl Future<Output = T>) -> Result<T, Cut> {
        let mut work = pin!(work);
        let mut ends = Ends::default();
        poll_fn(|cx| {
            if ends.poll(&self.lock(), cx).is_ready() {
                return Poll::Ready(Err(Cut));
            }
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            // The visits that it began just now, if it did.
            let visits = self.lock();
            match visits.len() > ends.0.len() {
                true => ends.poll(&visits, cx).map(|()| Err(Cut)),
                false => Poll::Pending,
            }
        })
        .await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Visit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entrance {
    /// Notes that the request is with the tenant of a route, and gives the route by which it is: a
    /// newer one, where a change came in between.
    ///
    /// # Errors
    /// As [`Router::resolve`], when it has to be resolved anew.
    pub async fn enter(&self, router: &Router, route: Route) -> Result<Route, ResolveError> {
        let mut route = route;
        for _ in 0..OVERTAKEN {
            if self.has_entered(&route) {
                return Ok(route);
            }
            route = router.resolve_again(&route).await?;
        }
        Err(ResolveError::Unavailable)
    }

    fn has_entered(&self, route: &Route) -> bool {
        let Some(generation) = &route.0.generation else {
            return false;
        };
        let Some(book) = self.0.upgrade() else {
            // Nobody waits for an answer any more.
            return true;
        };
        let mut visits = book.lock().unwrap_or_else(PoisonError::into_inner);
        if visits
            .iter()
            .any(|visit| visit.generation.id == generation.id)
        {
            return true;
        }
        let visit = Visit::begin(generation);
        let entered = visit.is_some();
        visits.extend(visit);
        entered
    }
}

/// Waits for the first of some visits that is cut.
#[derive(Default)]
struct Ends(Vec<Pin<Box<WaitForCancellationFutureOwned>>>);

impl Ends {
    /// `visits` only ever get more.
    fn poll(&mut self, visits: &[Visit], cx: &mut Context<'_>) -> Poll<()> {
        for (index, visit) in visits.iter().enumerate() {
            let present = &visit.generation.present;
            if self.0.len() == index {
                let told = present.told.clone();
                self.0.push(Box::pin(told.cancelled_owned()));
            }
            let told = self.0.get_mut(index);
            let told = told.is_some_and(|told| told.as_mut().poll(cx).is_ready());
            if told || present.is_cut() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl fmt::Debug for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Visits").field(&self.lock().len()).finish()
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        // Entrances do not keep the book, but one may be writing in it right now.
        self.lock().clear();
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").finish_non_exhaustive()
    }
}
