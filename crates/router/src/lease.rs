//! Whether this router may hand anything out just now.
//!
//! A router is known to others by a lease in the catalog. Whoever changes a tenant waits for the
//! routers whose lease is running, and for no other. So a router may rely on what it remembers only
//! while its own lease runs, and it measures that on its own monotonic clock from *before* a renewal
//! was sent: the catalog counts from a later moment, so this router always stops first.
//!
//! After the lease ran out, the order is: register, then read the change log to its end, then open
//! the gate. A change that was committed before the registration is found by the reading; one that
//! is committed after it waits for this router. The other order leaves a gap between the two.
//!
//! While the catalog cannot be reached, tenants already known are served up to `away`. That is safe
//! because nothing depends on the router alone: a suspended, deleted or moved tenant's logins are
//! closed in Postgres itself, and a database that is not the expected one fails the identity check.
//! Domains and plans can be stale for that long.
//!
//! The clock is the system's monotonic one. It does not run while a machine sleeps or a VM is
//! paused; what is handed out right after waking is then guarded by Postgres alone, as above.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The lease is running.
    Open,
    /// The catalog cannot be reached, and has not been for less than `away`: known tenants only.
    Away,
    /// The catalog cannot be reached for longer than that.
    Shut,
    /// The lease ran out and nobody has tried to reach the catalog lately. Ask for it and wait.
    Unknown,
}

/// The state of the own lease.
#[derive(Debug)]
pub(crate) struct Lease {
    base: Instant,
    length: Duration,
    away: Duration,
    /// Nanoseconds after `base`; 0 is never.
    valid_until: AtomicU64,
    contact: AtomicU64,
    failure: AtomicU64,
    /// Told after each attempt, whatever came of it.
    attempted: Notify,
    /// Asks the task that renews to do it now.
    pub(crate) wanted: Notify,
}

impl Lease {
    pub(crate) fn new(length: Duration, away: Duration) -> Self {
        Self {
            base: Instant::now(),
            length,
            away,
            valid_until: AtomicU64::new(0),
            contact: AtomicU64::new(0),
            failure: AtomicU64::new(0),
            attempted: Notify::new(),
            wanted: Notify::new(),
        }
    }

    /// The gate as it stands now.
    pub(crate) fn gate(&self) -> Gate {
        self.gate_then(Instant::now())
    }

    /// The gate at a moment that somebody has just read off the clock.
    pub(crate) fn gate_then(&self, now: Instant) -> Gate {
        self.gate_at(self.since_base(now))
    }

    fn gate_at(&self, now: u64) -> Gate {
        if now < self.valid_until.load(Ordering::Acquire) {
            return Gate::Open;
        }
        let failure = self.failure.load(Ordering::Acquire);
        let contact = self.contact.load(Ordering::Acquire);
        // Only an attempt that was begun after the lease ran out shows that the catalog cannot be
        // reached now, and one of long ago shows nothing: this process may have slept.
        let after = failure > 0 && failure >= self.valid_until.load(Ordering::Acquire);
        let recent = now.saturating_sub(failure) < nanos(self.length).saturating_mul(2);
        match after && recent {
            true if now.saturating_sub(contact) < nanos(self.away) => Gate::Away,
            true => Gate::Shut,
            false => Gate::Unknown,
        }
    }

    /// Whether a renewal that is answered now continues a lease that never lapsed. The catalog
    /// carried it out earlier than this moment, so it was running then as well.
    pub(crate) fn is_running(&self) -> bool {
        self.gate() == Gate::Open
    }

    /// The catalog has the lease, asked for at `sent`, and nothing is missing in between.
    pub(crate) fn renewed(&self, sent: Instant) {
        let until = self.since_base(sent + self.length);
        self.valid_until.fetch_max(until, Ordering::AcqRel);
        self.contact
            .fetch_max(self.since_base(sent), Ordering::AcqRel);
        self.attempted.notify_waiters();
    }

    /// An attempt, begun at `sent`, did not reach the catalog.
    pub(crate) fn failed(&self, sent: Instant) {
        self.failure
            .fetch_max(self.since_base(sent), Ordering::AcqRel);
        self.attempted.notify_waiters();
    }

    /// Waits, up to `bound`, while the gate says [`Gate::Unknown`].
    pub(crate) async fn settle(&self, bound: Duration) -> Gate {
        let deadline = Instant::now() + bound;
        loop {
            let attempted = self.attempted.notified();
            let gate = self.gate();
            if gate != Gate::Unknown {
                return gate;
            }
            self.wanted.notify_one();
            if tokio::time::timeout_at(deadline, attempted).await.is_err() {
                return self.gate();
            }
        }
    }

    fn since_base(&self, at: Instant) -> u64 {
        // One more than the distance, so that 0 stays free for "never".
        nanos(at.saturating_duration_since(self.base)).saturating_add(1)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn lease() -> Lease {
        Lease::new(Duration::from_secs(5), Duration::from_secs(60))
    }

    fn at(lease: &Lease, seconds: u64) -> Instant {
        lease.base + Duration::from_secs(seconds)
    }

    /// Tried: with `renewed` counting from its own moment instead of `sent`.
    #[test]
    fn a_lease_counts_from_before_the_renewal_was_sent() {
        let lease = lease();
        assert_eq!(
            lease.gate_at(S),
            Gate::Unknown,
            "nothing handed out before the first one"
        );
        lease.renewed(at(&lease, 10));
        assert_eq!(lease.gate_at(15 * S), Gate::Open);
        assert_eq!(lease.gate_at(15 * S + 2), Gate::Unknown);
    }

    /// Tried: with `away` left out of the gate, it is never shut.
    #[test]
    fn without_the_catalog_known_tenants_are_served_for_a_while() {
        let lease = lease();
        lease.renewed(at(&lease, 10));
        for second in 12..80 {
            lease.failed(at(&lease, second));
        }
        assert_eq!(
            lease.gate_at(14 * S),
            Gate::Open,
            "the lease itself still runs"
        );
        lease.failed(at(&lease, 69));
        assert_eq!(lease.gate_at(69 * S), Gate::Away);
        assert_eq!(lease.gate_at(71 * S), Gate::Shut);
    }

    /// Tried: with any failure counting, also one of before the lease's end, and without `recent`, the gate says
    /// `Away`.
    #[test]
    fn after_a_sleep_an_old_failure_does_not_count() {
        let lease = lease();
        lease.renewed(at(&lease, 10));
        lease.failed(at(&lease, 14));
        assert_eq!(
            lease.gate_at(16 * S),
            Gate::Unknown,
            "begun while the lease ran"
        );
        lease.failed(at(&lease, 16));
        assert_eq!(lease.gate_at(17 * S), Gate::Away);
        assert_eq!(lease.gate_at(40 * S), Gate::Unknown, "it must try first");
    }
}
