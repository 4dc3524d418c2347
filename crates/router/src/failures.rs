//! Tenants whose database just failed, and when to try it again.
//!
//! Kept apart from the pools: a pool that was emptied and born again must not begin at the first
//! try. While a tenant fails, one request at a time tries it; the others are told at once, so that
//! a tenant that cannot be reached costs a request microseconds and not a timeout. A server that
//! answers none of its tenants is the breaker's business (`budget/breaker.rs`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenantry_types::TenantId;
use tokio::time::Instant;

use crate::acquire::AcquireError;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);
/// After this long without a request a failure is forgotten.
const KEPT: Duration = Duration::from_secs(60);
/// Beyond this many, old ones are looked for and removed.
const MANY: usize = 4_096;

/// The tenants that fail.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    failing: Mutex<HashMap<TenantId, Failing>>,
}

#[derive(Debug)]
struct Failing {
    times: u32,
    until: Instant,
    at: Instant,
    probing: bool,
    what: Failure,
}

/// What was told to the one that tried last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Unavailable,
    WrongDatabase,
    Fenced,
}

impl From<Failure> for AcquireError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable => Self::Unavailable,
            Failure::WrongDatabase => Self::WrongDatabase,
            Failure::Fenced => Self::Fenced,
        }
    }
}

/// The right to try. Dropped without a word, the next one may try.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    failures: &'a Failures,
    tenant: TenantId,
    probe: bool,
}

impl Failures {
    /// Whether opening a connection for this tenant may be tried now. That it could not be reached
    /// up to `excused` was not its fault.
    pub(crate) fn admit(
        &self,
        tenant: TenantId,
        excused: Option<Instant>,
    ) -> Result<Attempt<'_>, Failure> {
        let mut failing = self.lock();
        let is_excused = |entry: &Failing| {
            entry.what == Failure::Unavailable && excused.is_some_and(|excused| entry.at <= excused)
        };
        if failing.get(&tenant).is_some_and(is_excused) {
            failing.remove(&tenant);
        }
        let probe = match failing.get_mut(&tenant) {
            None => false,
            Some(entry) if entry.probing || Instant::now() < entry.until => return Err(entry.what),
            Some(entry) => {
                entry.probing = true;
                true
            }
        };
        Ok(Attempt {
            failures: self,
            tenant,
            probe,
        })
    }

    /// Whether requests of this tenant are refused without a try, or one is trying just now.
    pub(crate) fn is_failing(&self, tenant: TenantId) -> bool {
        let now = Instant::now();
        let failing = self.lock();
        let entry = failing.get(&tenant);
        entry.is_some_and(|entry| entry.probing || now < entry.until)
    }

    /// What changed about the tenant may have repaired it: try again at once.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.lock().remove(&tenant);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// It worked.
    pub(crate) fn succeeded(mut self) {
        self.probe = false;
        self.failures.lock().remove(&self.tenant);
    }

    /// It failed: not again before a while, each time twice as long.
    pub(crate) fn failed(mut self, what: Failure) {
        self.probe = false;
        let now = Instant::now();
        let mut failing = self.failures.lock();
        if failing.len() >= MANY {
            failing.retain(|_, entry| now < entry.until + KEPT);
        }
        let entry = failing.entry(self.tenant).or_insert(Failing {
            times: 0,
            until: now,
            at: now,
            probing: false,
            what,
        });
        entry.at = now;
        // Several that were under way at once when it began are one failure, not many.
        if entry.probing || now >= entry.until {
            entry.times = entry.times.saturating_add(1);
            entry.until = now
                + FIRST
                    .saturating_mul(1 << (entry.times - 1).min(10))
                    .min(LONGEST);
        }
        entry.probing = false;
        entry.what = what;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(entry) = self.failures.lock().get_mut(&self.tenant)
        {
            entry.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(1))
    }

    /// Tried: with `probing` not looked at, two try at a time; with pauses that stay the same, it is tried again
    /// too early.
    #[tokio::test(start_paused = true)]
    async fn a_failing_tenant_is_tried_by_one_at_a_time_and_less_and_less_often() {
        let failures = Failures::default();
        failures
            .admit(tenant(), None)
            .expect("the first try")
            .failed(Failure::Unavailable);
        assert_eq!(
            failures.admit(tenant(), None).err(),
            Some(Failure::Unavailable)
        );
        tokio::time::advance(FIRST).await;
        let probe = failures.admit(tenant(), None).expect("one probe");
        assert!(failures.admit(tenant(), None).is_err(), "and only one");
        drop(probe);
        failures
            .admit(tenant(), None)
            .expect("a probe that gave up is replaced")
            .failed(Failure::Fenced);
        tokio::time::advance(FIRST).await;
        assert_eq!(
            failures.admit(tenant(), None).err(),
            Some(Failure::Fenced),
            "twice as long now"
        );
        tokio::time::advance(FIRST).await;
        failures.admit(tenant(), None).expect("a probe").succeeded();
        failures.admit(tenant(), None).expect("well again");
        failures.admit(tenant(), None).expect("for everybody");
    }

    /// Tried: with every failure excused, a fenced tenant is let through.
    #[tokio::test(start_paused = true)]
    async fn what_was_the_servers_doing_is_forgiven_and_what_was_the_tenants_own_is_not() {
        let failures = Failures::default();
        for (what, forgiven) in [
            (Failure::Unavailable, true),
            (Failure::Fenced, false),
            (Failure::WrongDatabase, false),
        ] {
            failures.forget(tenant());
            let before = Instant::now();
            tokio::time::advance(Duration::from_millis(1)).await;
            let first = failures.admit(tenant(), None).expect("the first try");
            first.failed(what);
            let outcome = failures.admit(tenant(), Some(before)).err();
            assert_eq!(outcome, Some(what), "it failed after that");
            let outcome = failures.admit(tenant(), Some(Instant::now()));
            assert_eq!(outcome.is_ok(), forgiven, "{what:?}");
        }
    }
}
