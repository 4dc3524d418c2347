//! Somebody who waits for a connection, in the order of coming.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Cluster, Grant, Limit};
use crate::generation::Generation;

/// A place in the queue. Dropped, it leaves the queue, and what it was given meanwhile goes back.
pub(crate) struct Waiter {
    pub(super) generation: Arc<Generation>,
    pub(super) number: u64,
    pub(super) receiver: oneshot::Receiver<Grant>,
}

impl Waiter {
    /// Waits for a connection or for room, up to `bound`.
    pub(crate) async fn wait(mut self, bound: Duration) -> Result<Grant, Limit> {
        let cluster = Arc::clone(&self.generation.cluster);
        match tokio::time::timeout(bound, &mut self.receiver).await {
            Ok(Ok(grant)) => Ok(grant),
            // The sender is only ever dropped with a grant sent; a closed channel is a retired pool.
            Ok(Err(_)) => Ok(Grant::Retired),
            Err(_) => Err(cluster.limit_met(&self.generation)),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        Cluster::leave(&self.generation, self.number);
    }
}
