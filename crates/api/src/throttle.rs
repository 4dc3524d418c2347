//! Slowing down the guessing of passwords: per account and per client address.
//!
//! An attempt is counted before its password is looked at: the free failures that are left are seats,
//! an attempt takes one, and who finds none waits for a seat to be given back. So fifty guesses at
//! once learn no more than fifty one after another.
//! The counts live in this process only and are bounded; they are a brake, not a lock.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tenantry_types::{Clock, Email, TenantId, Timestamp};
use tokio::sync::Notify;

use crate::meters::{Meters, SignIn};

/// The brake on sign-ins.
pub(crate) struct Throttle {
    accounts: Counters<(Door, [u8; 32])>,
    addresses: Counters<IpAddr>,
    clock: Clock,
    meters: Arc<Meters>,
}

/// Where an account is signed in to: the same address has a count of its own at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Door {
    Base,
    Tenant(TenantId),
    /// A tenant that was tried from the base domain. Apart from its own host's: else a stranger who
    /// guesses here would see there, by the brake, whether the address is one of its people.
    Within(TenantId),
}

/// Too many failures lately: wait this many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) retry_after: u64,
}

/// Room for one attempt. Tell it how the attempt ended; dropped without a word (the database was
/// away, the client left) it counts as nothing, since the client learnt nothing, until the hash begins.
#[must_use]
pub(crate) struct Attempt {
    account: Option<Seat>,
    address: Option<Seat>,
    outcome: Option<Outcome>,
}

/// Counts how an attempt ended, once.
struct Outcome {
    meters: Arc<Meters>,
    how: SignIn,
}

impl Outcome {
    fn admitted(mut self) -> Option<Self> {
        self.how = SignIn::Abandoned;
        Some(self)
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.meters.sign_in(self.how);
    }
}

impl Throttle {
    pub(crate) fn new(clock: Clock, meters: Arc<Meters>) -> Self {
        Self {
            accounts: Counters::new(ACCOUNT, 100_000),
            addresses: Counters::new(ADDRESS, 100_000),
            clock,
            meters,
        }
    }

    /// Reserves room for one attempt at an account from a client's address.
    ///
    /// # Errors
    /// When there were too many failures, or no seat came free in time.
    pub(crate) async fn attempt(
        &self,
        tenant: TenantId,
        email: &Email,
        client: Option<IpAddr>,
    ) -> Result<Attempt, TooMany> {
        self.attempt_at(Door::Tenant(tenant), email, client).await
    }

    /// The same at the base domain, where the address may be one of several tenants or of none. Each
    /// tenant that is then tried is counted as well, see [`Throttle::attempt_within`].
    ///
    /// # Errors
    /// When there were too many failures, or no seat came free in time.
    pub(crate) async fn attempt_at_base(
        &self,
        email: &Email,
        client: Option<IpAddr>,
    ) -> Result<Attempt, TooMany> {
        self.attempt_at(Door::Base, email, client).await
    }

    /// Reserves room at a tenant's account for an attempt that came in at the base domain and has its
    /// room there. None when there is no room right now: nobody waits for it, so that how long the
    /// base domain takes says nothing of what goes on at a tenant.
    pub(crate) fn attempt_within(&self, tenant: TenantId, email: &Email) -> Option<Attempt> {
        let account = self
            .accounts
            .seat_at_once(account(Door::Within(tenant), email), &self.clock)?;
        Some(Attempt {
            account: Some(account),
            address: None,
            // Counted at the base domain, once.
            outcome: None,
        })
    }

    /// Reserves room for an attempt that names no account, by the client's address alone.
    ///
    /// # Errors
    /// When there were too many failures, or no seat came free in time.
    pub(crate) async fn attempt_from(&self, client: Option<IpAddr>) -> Result<Attempt, TooMany> {
        let outcome = self.begun();
        let address = self.address_seat(client).await?;
        Ok(Attempt {
            account: None,
            address,
            outcome: outcome.admitted(),
        })
    }

    async fn attempt_at(
        &self,
        door: Door,
        email: &Email,
        client: Option<IpAddr>,
    ) -> Result<Attempt, TooMany> {
        let outcome = self.begun();
        // The account first: who waits for a seat there keeps nobody else of the same address waiting.
        let account = self
            .accounts
            .seat(account(door, email), &self.clock)
            .await?;
        let address = self.address_seat(client).await?;
        Ok(Attempt {
            account: Some(account),
            address,
            outcome: outcome.admitted(),
        })
    }

    fn begun(&self) -> Outcome {
        Outcome {
            meters: Arc::clone(&self.meters),
            how: SignIn::Slowed,
        }
    }

    async fn address_seat(&self, client: Option<IpAddr>) -> Result<Option<Seat>, TooMany> {
        match client {
            Some(ip) => Ok(Some(
                self.addresses.seat(network_of(ip), &self.clock).await?,
            )),
            None => Ok(None),
        }
    }
}

/// Hashed, so that an entry's size is bounded and a memory dump holds no list of addresses.
fn account(door: Door, email: &Email) -> (Door, [u8; 32]) {
    (door, Sha256::digest(email.as_str()).into())
}

impl Attempt {
    fn ended(&mut self, how: SignIn) {
        if let Some(outcome) = &mut self.outcome {
            outcome.how = how;
        }
    }

    /// The work of hashing begins: from here on, whoever leaves has failed. Else guesses that nobody
    /// waits for would keep the cores busy and never be counted.
    pub(crate) fn hashing(&mut self) {
        for seat in [&mut self.account, &mut self.address].into_iter().flatten() {
            seat.costs = true;
        }
    }

    /// The password was right: the account's count starts anew. The client address's does not: who
    /// owns one account must not clear the way for guesses at others.
    pub(crate) fn succeeded(mut self) {
        self.ended(SignIn::Right);
        if let Some(account) = self.account {
            account.close(|counter, _| counter.failures = 0);
        }
        if let Some(address) = self.address {
            address.close(|_, _| {});
        }
    }

    /// The password was wrong.
    pub(crate) fn failed(mut self) {
        self.ended(SignIn::Wrong);
        for seat in [self.account, self.address].into_iter().flatten() {
            seat.close(Counter::fail);
        }
    }
}

/// How many failures are free, and when they are forgotten.
#[derive(Clone, Copy)]
struct Rule {
    free: u32,
    forget: Forget,
}

#[derive(Clone, Copy)]
enum Forget {
    AfterLast(Duration),
    AfterFirst(Duration),
}

const ACCOUNT: Rule = Rule {
    free: 5,
    forget: Forget::AfterLast(Duration::from_secs(15 * 60)),
};
const ADDRESS: Rule = Rule {
    free: 50,
    forget: Forget::AfterFirst(Duration::from_secs(60)),
};
const LONGEST_WAIT: u64 = 60;
/// How long an attempt waits for those before it to end. They take an Argon2 hash each.
const SEAT_WAIT: Duration = Duration::from_secs(5);
/// How many wait for a seat at one account or address: each keeps a request of the whole program.
const WAITING: u32 = 128;

struct Counters<K> {
    entries: Cache<K, Arc<Entry>>,
    rule: Rule,
}

struct Entry {
    counter: Mutex<Counter>,
    waiting: AtomicU32,
    seat_free: Notify,
}

#[derive(Default)]
struct Counter {
    failures: u32,
    seated: u32,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    blocked_until: Option<Timestamp>,
    free: u32,
}

enum Admission {
    Seated,
    Wait,
    Refused(TooMany),
}

impl<K: Hash + Eq + Send + Sync + 'static> Counters<K> {
    fn new(rule: Rule, capacity: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(capacity)
            .time_to_idle(Duration::from_secs(30 * 60))
            .build();
        Self { entries, rule }
    }

    fn entry(&self, key: K) -> Arc<Entry> {
        self.entries.get_with(key, || {
            Arc::new(Entry {
                counter: Mutex::new(Counter {
                    free: self.rule.free,
                    ..Counter::default()
                }),
                waiting: AtomicU32::new(0),
                seat_free: Notify::new(),
            })
        })
    }

    fn seat_at_once(&self, key: K, clock: &Clock) -> Option<Seat> {
        let entry = self.entry(key);
        let admission = entry.lock().admit(clock.now(), self.rule);
        matches!(admission, Admission::Seated).then(|| Seat::taken(entry, clock))
    }

    async fn seat(&self, key: K, clock: &Clock) -> Result<Seat, TooMany> {
        let entry = self.entry(key);
        let seated = tokio::time::timeout(SEAT_WAIT, async {
            loop {
                // Registered before the look, so that a seat given back in between is not missed.
                let free = entry.seat_free.notified();
                tokio::pin!(free);
                free.as_mut().enable();
                match entry.lock().admit(clock.now(), self.rule) {
                    Admission::Seated => return Ok(()),
                    Admission::Refused(too_many) => return Err(too_many),
                    Admission::Wait => {}
                }
                let _waiting = Waiting::at(&entry).ok_or(TooMany { retry_after: 1 })?;
                free.await;
            }
        })
        .await
        .unwrap_or(Err(TooMany { retry_after: 1 }));
        seated.map(|()| Seat::taken(entry, clock))
    }
}

/// One who waits for a seat, until this is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    /// None when enough wait already.
    fn at(entry: &'a Entry) -> Option<Self> {
        let before = entry.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(&entry.waiting);
        (before < WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    fn admit(&mut self, now: Timestamp, rule: Rule) -> Admission {
        if let Some(until) = self.blocked_until
            && until > now
        {
            let millis = u64::try_from((until - now).num_milliseconds()).unwrap_or(0);
            return Admission::Refused(TooMany {
                retry_after: millis.div_ceil(1000).clamp(1, LONGEST_WAIT),
            });
        }
        if self.is_stale(now, rule.forget) {
            *self = Self {
                seated: self.seated,
                free: self.free,
                ..Self::default()
            };
        }
        // Beyond the free ones, one at a time: each waits out the answer of the one before.
        let seats = self.free.saturating_sub(self.failures).max(1);
        if self.seated >= seats {
            return Admission::Wait;
        }
        self.seated += 1;
        Admission::Seated
    }

    fn fail(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.first.get_or_insert(now);
        self.last = Some(now);
        if let Some(beyond) = self.failures.checked_sub(self.free) {
            let seconds = 1_i64 << beyond.min(6);
            let seconds = seconds.min(LONGEST_WAIT.cast_signed());
            self.blocked_until = Some(now + chrono::Duration::seconds(seconds));
        }
    }

    fn is_stale(&self, now: Timestamp, forget: Forget) -> bool {
        let (since, after) = match forget {
            Forget::AfterLast(after) => (self.last, after),
            Forget::AfterFirst(after) => (self.first, after),
        };
        since.is_some_and(|since| (now - since).to_std().is_ok_and(|elapsed| elapsed >= after))
    }
}

/// One attempt's place at one counter, given back when dropped.
struct Seat {
    entry: Arc<Entry>,
    clock: Clock,
    /// Whether it counts as a failure when nothing else is said.
    costs: bool,
}

impl Seat {
    fn taken(entry: Arc<Entry>, clock: &Clock) -> Self {
        Self {
            entry,
            clock: clock.clone(),
            costs: false,
        }
    }

    fn close(mut self, verdict: impl FnOnce(&mut Counter, Timestamp)) {
        self.costs = false;
        verdict(&mut self.entry.lock(), self.clock.now());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counter = self.entry.lock();
        if self.costs {
            counter.fail(self.clock.now());
        }
        counter.seated -= 1;
        drop(counter);
        self.entry.seat_free.notify_waiters();
    }
}

/// The unit that one customer of a provider holds: an address of IPv4, a /64 of IPv6.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
