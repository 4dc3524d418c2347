//! The right to look whether a server is back, held by one request of a cluster at a time.

use std::sync::Arc;

use super::Cluster;

/// Dropped before anything was learnt, the next request may look.
pub(crate) struct Probe {
    cluster: Arc<Cluster>,
    pub(super) number: u64,
}

impl Probe {
    pub(super) fn new(cluster: Arc<Cluster>, number: u64) -> Self {
        Self { cluster, number }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.cluster.abandon(self.number);
    }
}
