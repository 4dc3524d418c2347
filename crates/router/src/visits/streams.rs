//! The visits of a request whose answer is being sent: counted as long as it may give another part.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::{Cut, Ends, Visit, Visits};

impl Visits {
    /// The request was worked on; what is left is to send its answer.
    pub(crate) fn into_streams(self) -> Streams {
        let visits = std::mem::take(&mut *self.lock());
        let streams = visits.iter();
        let streams = streams.map(|visit| Visit::counted(&visit.generation, true));
        Streams {
            visits: streams.collect(),
            ends: Ends::default(),
        }
    }
}

/// The visits of a request whose answer is being sent.
pub(crate) struct Streams {
    visits: Vec<Visit>,
    ends: Ends,
}

impl Streams {
    /// Asks for the next part of the answer, unless the time is over. The one who asks is woken when
    /// it is.
    pub(crate) fn next_part<T>(
        &mut self,
        cx: &mut Context<'_>,
        part: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, Cut>> {
        // Counted first and looked at then, as a visit begins.
        let _working = Working::begin(&self.visits);
        if self.ends.poll(&self.visits, cx).is_ready() {
            return Poll::Ready(Err(Cut));
        }
        part(cx).map(Ok)
    }
}

/// A part of the answer is being made.
struct Working<'a>(&'a [Visit]);

impl<'a> Working<'a> {
    fn begin(visits: &'a [Visit]) -> Self {
        for visit in visits {
            let working = &visit.generation.present.working;
            working.fetch_add(1, Ordering::SeqCst);
        }
        Self(visits)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        for visit in self.0 {
            visit.end(&visit.generation.present.working);
        }
    }
}
