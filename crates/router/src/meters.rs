//! What the router counts while it works. What it can be asked for at any time (connections, the
//! budget, the change log) is in [`crate::Stats`] and [`crate::ClusterStats`] instead.
//!
//! Handles are registered once, by each part for itself: counting is then one atomic addition, and
//! nothing at all where the program keeps no metrics.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use tenantry_types::metric;

use crate::acquire::AcquireError;
use crate::budget::Limit;
use crate::connect::OpenError;

/// How a name or token was found to lead somewhere, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Hit,
    Negative,
    Miss,
    Error,
}

/// Counts [`Resolution`]s.
pub(crate) struct Resolutions([Counter; 4]);

impl Resolutions {
    pub(crate) fn new() -> Self {
        Self(
            ["hit", "negative", "miss", "error"]
                .map(|result| counter!(metric::ROUTER_RESOLUTIONS.name, "result" => result)),
        )
    }

    pub(crate) fn count(&self, resolution: Resolution) {
        self.0[resolution as usize].increment(1);
    }
}

/// Counts readings of the catalog.
pub(crate) struct Loads {
    pub(crate) done: Counter,
    pub(crate) failed: Counter,
}

impl Loads {
    pub(crate) fn new() -> Self {
        let of = |outcome| counter!(metric::ROUTER_LOADS.name, "outcome" => outcome);
        Self {
            done: of("done"),
            failed: of("failed"),
        }
    }
}

/// Counts attempts to open a connection for a pool.
pub(crate) struct Connects {
    outcomes: [Counter; 5],
    seconds: Histogram,
}

impl Connects {
    pub(crate) fn new() -> Self {
        let outcomes = [
            "proven",
            "unavailable",
            "login_refused",
            "wrong_database",
            "sealed",
        ];
        Self {
            outcomes: outcomes
                .map(|outcome| counter!(metric::ROUTER_CONNECTS.name, "outcome" => outcome)),
            seconds: histogram!(metric::ROUTER_CONNECT_SECONDS.name),
        }
    }

    pub(crate) fn count<T>(&self, outcome: &Result<T, OpenError>, took: Duration) {
        let index = match outcome {
            Ok(_) => {
                self.seconds.record(took);
                0
            }
            Err(OpenError::Unavailable(_)) => 1,
            Err(OpenError::Refused { .. }) => 2,
            Err(OpenError::WrongDatabase { .. }) => 3,
            Err(OpenError::Sealed(_)) => 4,
        };
        self.outcomes[index].increment(1);
    }
}

/// Counts what those who ask for a connection meet.
pub(crate) struct Acquires {
    /// How long those waited that had to.
    pub(crate) waits: Histogram,
    failures: [Counter; 7],
}

impl Acquires {
    pub(crate) fn new() -> Self {
        let reasons = [
            "tenant_busy",
            "budget_full",
            "unavailable",
            "wrong_database",
            "login_refused",
            "not_served",
            "server_down",
        ];
        Self {
            waits: histogram!(metric::ROUTER_WAIT_SECONDS.name),
            failures: reasons
                .map(|reason| counter!(metric::ROUTER_REFUSALS.name, "reason" => reason)),
        }
    }

    pub(crate) fn failed(&self, error: &AcquireError) {
        let index = match error {
            AcquireError::Busy(Limit::Tenant) => 0,
            AcquireError::Busy(Limit::Cluster) => 1,
            AcquireError::Unavailable => 2,
            AcquireError::WrongDatabase => 3,
            AcquireError::Fenced => 4,
            AcquireError::Resolve(_) => 5,
            AcquireError::ServerDown { .. } => 6,
        };
        self.failures[index].increment(1);
    }
}

/// Counts leases that ran out.
pub(crate) fn lease_losses() -> Counter {
    counter!(metric::ROUTER_LEASE_LOST.name)
}
