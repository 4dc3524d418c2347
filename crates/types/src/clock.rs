//! Time as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, SubsecRound, Utc};

/// A moment in UTC.
pub type Timestamp = DateTime<Utc>;

/// Where the code gets the time from, so that a test can move it.
///
/// Wall-clock time only; a lease is measured with `tokio::time::Instant`, which a change of the
/// system's clock does not move.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { offset_ms: None }
    }

    /// The system's clock, which [`Clock::advance`] moves ahead. For tests.
    #[must_use]
    pub fn adjustable() -> Self {
        Self {
            offset_ms: Some(Arc::default()),
        }
    }

    /// The time now, in microseconds: what Postgres keeps, so that what is told first and what is read
    /// later are the same.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    pub fn now(&self) -> Timestamp {
        let now = Utc::now().trunc_subsecs(6);
        match &self.offset_ms {
            None => now,
            Some(offset) => now + Duration::milliseconds(offset.load(Ordering::Relaxed)),
        }
    }

    /// Moves an adjustable clock; does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Some(offset) = &self.offset_ms {
            offset.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
        }
    }
}
