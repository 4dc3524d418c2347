//! Whether a cluster's server answers at all, judged over all of its tenants.
//!
//! A tenant's own fault (a refused login, another database, a database that is gone) is an answer of
//! a living server and says nothing here; it is remembered in `failures.rs`. What counts is silence,
//! refused connections, a server that starts, stops or is full. A few of those in a row, with no
//! sign of life in between, open the breaker: from then on requests are told at once, and one
//! request at a time, less and less often, is let through to look. Any sign of life closes it.
//!
//! Pure: the time and the chance are arguments. It belongs to the cluster and outlives every pool.

use std::time::Duration;

use tenantry_types::TenantId;
use tokio::time::Instant;

/// Failures in a row that open it.
const OPENS_AT: u32 = 3;
/// The first pause before somebody looks again; each is twice as long, less a part by chance.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(4);
/// Failures further apart are not of one trouble.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// For how long, after a pause, a tenant that looked last leaves it to others that asked meanwhile.
const TURN: Duration = Duration::from_secs(1);

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// The server answers, as far as is known: everybody may connect.
    Closed,
    /// One request looks whether the server is back; the others are told that it is not.
    HalfOpen,
    /// The server did not answer several times in a row: everybody is told at once.
    Open,
}

impl BreakerState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// `closed`, `half_open` or `open`, as metrics and reports say it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// What an attempt that failed says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It answered: whatever is wrong is the tenant's.
    Answered,
    /// No answer, or one that can be meant for this tenant alone (a limit of its login is told with
    /// the same code as a full server). Counts against the server when several tenants meet it.
    Perhaps,
    /// Nobody can connect: nothing listens there, or the server starts or stops.
    Surely,
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    phase: Phase,
    /// In a row, while closed, and when the last was.
    failures: u32,
    failed_at: Option<Instant>,
    /// Who failed first of those, and when it last did.
    first: Option<(TenantId, Instant)>,
    /// When another did as well, or one was sure.
    beyond_doubt: Option<Instant>,
    /// Pauses since it opened, but for those that were as long as the one before.
    times: u32,
    /// Who looked last, whether another asked since, and whose look failed last.
    looked: Option<TenantId>,
    others: bool,
    missed: Option<TenantId>,
    probes: u64,
    /// How often it opened.
    pub(super) opened: u64,
    lived_at: Option<Instant>,
    /// When it closed last: what failed before that was the server's doing.
    pub(super) closed_at: Option<Instant>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    Probing {
        probe: u64,
    },
}

impl Breaker {
    pub(super) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The right to look whether the server is back, or how long nobody will be let through. One tenant
    /// does not look twice running while others ask: what it meets may be its own trouble.
    pub(super) fn probe(&mut self, tenant: TenantId, now: Instant) -> Result<u64, Duration> {
        let again = self.looked == Some(tenant);
        self.others |= self.looked.is_some() && !again;
        match self.phase {
            Phase::Open { until } if now < until => Err(until - now),
            Phase::Open { until } if again && self.others && now < until + TURN => {
                Err(until + TURN - now)
            }
            Phase::Probing { .. } => Err(FIRST),
            Phase::Open { .. } => Ok(self.begin(tenant)),
            Phase::Closed => Err(Duration::ZERO),
        }
    }

    /// A probe ended without having learnt anything: the next one may look.
    pub(super) fn abandon(&mut self, probe: u64, now: Instant) {
        if matches!(self.phase, Phase::Probing { probe: at } if at == probe) {
            self.phase = Phase::Open { until: now };
        }
    }

    /// The server gave a sign of life.
    pub(super) fn lives(&mut self, now: Instant) {
        self.lived_at = Some(now);
        if !self.is_closed() {
            self.phase = Phase::Closed;
            self.closed_at = Some(now);
        }
        (self.failures, self.times, self.first) = (0, 0, None);
        (self.failed_at, self.beyond_doubt) = (None, None);
        (self.looked, self.others, self.missed) = (None, false, None);
    }

    /// Whether the server gave a sign of life after `begun`.
    pub(super) fn lived_since(&self, begun: Instant) -> bool {
        self.lived_at.is_some_and(|at| at >= begun)
    }

    /// An attempt that began at `begun` failed; `probe` if it was one. `chance` is in `0.0..1.0`.
    /// Says whether it is open now because of this.
    pub(super) fn failed(
        &mut self,
        tenant: TenantId,
        trouble: Trouble,
        probe: Option<u64>,
        begun: Instant,
        now: Instant,
        chance: f64,
    ) -> bool {
        match self.phase {
            // Others were answered meanwhile.
            _ if self.lived_since(begun) => false,
            Phase::Closed => {
                let recent = |at: Instant| now.saturating_duration_since(at) < FORGOTTEN;
                if !self.failed_at.is_some_and(recent) {
                    self.failures = 0;
                }
                self.failed_at = Some(now);
                self.failures = self.failures.saturating_add(1);
                let first = self.first.filter(|(_, at)| recent(*at));
                let other = first.is_some_and(|(first, _)| first != tenant);
                if other || trouble == Trouble::Surely {
                    self.beyond_doubt = Some(now);
                }
                self.first = if other { first } else { Some((tenant, now)) };
                let opens = self.failures >= OPENS_AT && self.beyond_doubt.is_some_and(recent);
                if opens {
                    self.opened += 1;
                    self.pause(now, chance);
                }
                opens
            }
            Phase::Probing { probe: at } if probe == Some(at) => {
                // The same tenant once more says no more than it said before.
                if trouble == Trouble::Perhaps && self.missed == Some(tenant) {
                    self.times = self.times.saturating_sub(1);
                }
                self.missed = Some(tenant);
                self.pause(now, chance);
                true
            }
            // Begun before it opened: nothing new.
            Phase::Open { .. } | Phase::Probing { .. } => false,
        }
    }

    /// An open connection did not answer, and nobody was answered meanwhile: whoever found out goes
    /// on to look, and the others need not find out for themselves.
    pub(super) fn silent(&mut self, tenant: TenantId) -> Option<u64> {
        self.is_closed().then(|| {
            self.opened += 1;
            self.begin(tenant)
        })
    }

    /// For how long nobody will be let through, about.
    pub(super) fn pauses_for(&self, now: Instant) -> Duration {
        match self.phase {
            Phase::Open { until } => until.saturating_duration_since(now),
            Phase::Probing { .. } | Phase::Closed => FIRST,
        }
    }

    fn begin(&mut self, tenant: TenantId) -> u64 {
        (self.looked, self.others) = (Some(tenant), false);
        self.probes += 1;
        self.phase = Phase::Probing { probe: self.probes };
        self.probes
    }

    fn pause(&mut self, now: Instant, chance: f64) {
        let whole = FIRST.saturating_mul(1 << self.times.min(10)).min(LONGEST);
        self.times = self.times.saturating_add(1);
        let until = now + whole - whole.mul_f64(chance.clamp(0.0, 1.0) / 2.0);
        self.phase = Phase::Open { until };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(n))
    }

    struct Bench {
        breaker: Breaker,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let (breaker, now) = (Breaker::default(), Instant::now());
            Self { breaker, now }
        }

        fn fails(&mut self, n: u128, trouble: Trouble) -> bool {
            self.breaker
                .failed(tenant(n), trouble, None, self.now, self.now, 0.0)
        }

        fn opened() -> Self {
            let mut bench = Self::new();
            for n in 0..3 {
                bench.fails(n, Trouble::Perhaps);
            }
            assert_eq!(bench.breaker.state(), BreakerState::Open);
            bench
        }
    }

    /// Tried: with `lives` resetting nothing, the first failure after it opens it.
    #[test]
    fn three_failures_in_a_row_open_it_and_a_sign_of_life_between_them_does_not() {
        let mut bench = Bench::new();
        assert!(!bench.fails(1, Trouble::Perhaps));
        assert!(!bench.fails(2, Trouble::Perhaps));
        bench.breaker.lives(bench.now);
        bench.now += Duration::from_millis(1);
        assert!(!bench.fails(1, Trouble::Perhaps));
        assert!(!bench.fails(2, Trouble::Perhaps));
        assert!(bench.fails(3, Trouble::Perhaps));
    }

    /// Tried: with `other` always true in `failed`, the third failure of the one opens it.
    #[test]
    fn one_tenants_own_trouble_never_opens_it_unless_nobody_can_connect() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            assert!(!bench.fails(1, Trouble::Perhaps));
        }
        assert!(bench.fails(2, Trouble::Perhaps), "another meets it as well");
        let mut bench = Bench::new();
        assert!(!bench.fails(1, Trouble::Surely));
        assert!(!bench.fails(1, Trouble::Surely));
        assert!(bench.fails(1, Trouble::Surely));
    }

    /// Tried: without the look at `lived_since` in `failed`, the third opens it.
    #[test]
    fn what_began_before_a_sign_of_life_says_nothing() {
        let mut bench = Bench::new();
        let begun = bench.now;
        bench.now += Duration::from_secs(1);
        bench.breaker.lives(bench.now);
        for n in 0..9 {
            let (now, trouble) = (bench.now, Trouble::Surely);
            let opened = bench
                .breaker
                .failed(tenant(n), trouble, None, begun, now, 0.0);
            assert!(!opened);
        }
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
    }

    /// Tried: with a second probe let through in `Phase::Probing`.
    #[test]
    fn one_probe_at_a_time_and_each_pause_is_longer() {
        let mut bench = Bench::opened();
        let mut pauses = Vec::new();
        for n in 0..8 {
            let (one, other) = (tenant(n), tenant(n + 1));
            let pause = bench.breaker.probe(one, bench.now);
            let pause = pause.expect_err("it is open");
            pauses.push(pause);
            bench.now += pause;
            let probe = bench.breaker.probe(one, bench.now).expect("one may look");
            let second = bench.breaker.probe(other, bench.now);
            assert!(second.is_err(), "and only one");
            // A straggler of before the opening changes nothing.
            assert!(!bench.fails(7, Trouble::Surely));
            assert_eq!(bench.breaker.state(), BreakerState::HalfOpen);
            let now = bench.now;
            let again = bench
                .breaker
                .failed(one, Trouble::Perhaps, Some(probe), now, now, 0.0);
            assert!(again);
        }
        assert_eq!(pauses[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(pauses[7], LONGEST);
    }

    /// Tried: with the chance left out of `pause`, it is 500 ms and not 375.
    #[test]
    fn a_pause_is_shortened_by_chance() {
        let mut bench = Bench::opened();
        bench.now += FIRST;
        let probe = bench.breaker.probe(tenant(1), bench.now);
        let probe = probe.expect("a probe");
        let now = bench.now;
        let trouble = Trouble::Perhaps;
        bench
            .breaker
            .failed(tenant(1), trouble, Some(probe), now, now, 0.5);
        let pause = bench.breaker.probe(tenant(2), now).expect_err("open");
        assert_eq!(pause, (FIRST * 2).mul_f64(0.75));
    }

    /// Tried: with `abandon` taking any probe for its own, the second one's is gone.
    #[test]
    fn a_probe_that_learnt_nothing_is_replaced_and_one_that_did_closes_it() {
        let mut bench = Bench::opened();
        bench.now += FIRST;
        let first = bench.breaker.probe(tenant(1), bench.now);
        let first = first.expect("a probe");
        bench.breaker.abandon(first, bench.now);
        let second = bench.breaker.probe(tenant(2), bench.now);
        let second = second.expect("the next");
        bench.breaker.abandon(first, bench.now);
        assert_eq!(bench.breaker.state(), BreakerState::HalfOpen, "not its own");
        bench.breaker.lives(bench.now);
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
        bench.breaker.abandon(second, bench.now);
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
        assert_eq!(bench.breaker.closed_at, Some(bench.now));
        assert_eq!(bench.breaker.opened, 1);
    }

    /// Tried: with `silent` giving a probe whatever the phase is, the second one looks too.
    #[test]
    fn a_silent_connection_makes_its_asker_look_and_nobody_else() {
        let mut bench = Bench::new();
        assert!(bench.breaker.silent(tenant(1)).is_some());
        assert!(bench.breaker.silent(tenant(2)).is_none());
        assert!(bench.breaker.probe(tenant(2), bench.now).is_err());
    }

    /// Tried: without `FORGOTTEN` in `failed`, the second tenant's opens it.
    #[test]
    fn failures_of_long_ago_are_forgotten() {
        let mut bench = Bench::new();
        assert!(!bench.fails(1, Trouble::Perhaps));
        assert!(!bench.fails(2, Trouble::Perhaps));
        bench.now += FORGOTTEN;
        assert!(!bench.fails(1, Trouble::Perhaps));
        // One that fails all the time, and another's of long ago.
        for _ in 0..30 {
            bench.now += FORGOTTEN / 3;
            assert!(!bench.fails(1, Trouble::Perhaps));
        }
        assert!(bench.fails(2, Trouble::Perhaps), "both of late");
    }

    /// Tried: with `others` always false, the sick one looks again and again.
    #[test]
    fn a_tenant_that_looked_leaves_it_to_others_that_ask() {
        let mut bench = Bench::opened();
        let (sick, well) = (tenant(1), tenant(7));
        bench.now += FIRST;
        let probe = bench.breaker.probe(sick, bench.now).expect("it may");
        assert!(bench.breaker.probe(well, bench.now).is_err(), "one looks");
        let now = bench.now;
        bench
            .breaker
            .failed(sick, Trouble::Perhaps, Some(probe), now, now, 0.0);
        bench.now += LONGEST;
        assert!(bench.breaker.probe(sick, bench.now - TURN).is_ok(), "late");
        let mut bench = Bench::opened();
        bench.now += FIRST;
        let probe = bench.breaker.probe(sick, bench.now).expect("it may");
        assert!(bench.breaker.probe(well, bench.now).is_err(), "one looks");
        bench.breaker.abandon(probe, bench.now);
        assert!(bench.breaker.probe(sick, bench.now).is_err());
        assert!(bench.breaker.probe(well, bench.now).is_ok());
    }

    /// Tried: without `missed`, the pauses double.
    #[test]
    fn one_tenant_alone_does_not_lengthen_the_pause() {
        let mut bench = Bench::opened();
        bench.now += LONGEST;
        for _ in 0..5 {
            let probe = bench.breaker.probe(tenant(1), bench.now).expect("it may");
            let now = bench.now;
            bench
                .breaker
                .failed(tenant(1), Trouble::Perhaps, Some(probe), now, now, 0.0);
            assert_eq!(bench.breaker.pauses_for(now), FIRST * 2);
            bench.now += FIRST * 2;
        }
    }
}
