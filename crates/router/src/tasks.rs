//! Where background work runs: tracked, so that the router's end waits for it.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::budget::Cluster;
use crate::closing::Closer;
use crate::pools::{Open, Slot};

/// Spawns background work. A drop can happen outside of the runtime, so its handle is kept.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    handle: Handle,
    pub(crate) closer: Arc<Closer>,
}

impl Tasks {
    /// Must be called inside of the runtime that the work is to run on.
    pub(crate) fn new(closer: Arc<Closer>) -> Self {
        Self {
            tracker: TaskTracker::new(),
            handle: Handle::current(),
            closer,
        }
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn_on(work, &self.handle);
    }

    /// See [`Closer::close`].
    pub(crate) fn close(&self, open: Open) {
        let closer = Arc::clone(&self.closer);
        self.spawn(async move { closer.close(open).await });
    }

    /// See [`Closer::close_quietly`].
    pub(crate) fn close_quietly(&self, open: Open) {
        let closer = Arc::clone(&self.closer);
        self.spawn(async move { closer.close_quietly(open).await });
    }

    /// See [`Closer::keep`].
    pub(crate) fn keep(&self, slot: Slot) {
        let closer = Arc::clone(&self.closer);
        self.spawn(async move { closer.keep(slot).await });
    }

    /// See [`crate::parked::watch`].
    pub(crate) fn look_after(&self, cluster: Arc<Cluster>) {
        let closer = Arc::clone(&self.closer);
        self.spawn(crate::parked::watch(cluster, closer));
    }

    /// See [`Closer::recover`].
    pub(crate) fn recover(&self, open: Open, lease: u64) {
        let closer = Arc::clone(&self.closer);
        self.spawn(async move { closer.recover(open, lease).await });
    }
}
