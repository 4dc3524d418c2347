//! How many requests are worked on at a time; more would only wait for the same connections and cores.
//!
//! A request whose body is still coming is not worked on: it costs a socket. Counting it would let
//! whoever announces bodies and sends none shut out everybody else.

use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// All slots there are.
pub(crate) struct Slots(Arc<Semaphore>);

/// The slot of one request, as long as a clone lives. It travels as an extension of the request.
#[derive(Clone)]
pub(crate) struct Slot(Arc<Inner>);

struct Inner {
    free: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// One of them.
    ///
    /// # Errors
    /// 503 when none is free; nobody waits for one.
    pub(crate) fn take(&self) -> Result<Slot, Problem> {
        let held = Mutex::new(Some(permit(&self.0)?));
        let free = Arc::clone(&self.0);
        Ok(Slot(Arc::new(Inner { free, held })))
    }
}

impl Slot {
    /// Gives the slot to others while the client is waited for, and takes one again.
    ///
    /// # Errors
    /// 503 when none is free afterwards.
    pub(crate) async fn lend<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Problem> {
        self.hold(None);
        let came = waiting.await;
        self.hold(Some(permit(&self.0.free)?));
        Ok(came)
    }

    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

fn permit(free: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(free).try_acquire_owned();
    permit.map_err(|_| Problem::with_status(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_is_free_while_its_client_is_waited_for_and_taken_again() {
        let slots = Slots::new(1);
        let slot = slots.take().expect("a slot");
        assert_eq!(slots.take().err().expect("none left").code(), "OVERLOADED");
        let other = slot.lend(async { slots.take().expect("lent") }).await;
        assert_eq!(other.err().expect("the other has it").code(), "OVERLOADED");
        slot.lend(async {}).await.expect("free again");
        assert!(slots.take().is_err());
        drop(slot);
        assert!(slots.take().is_ok());
    }
}
