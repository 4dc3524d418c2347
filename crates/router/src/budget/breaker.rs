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
    /// In a row, while closed.
    failures: u32,
    /// Who failed first of those, and whether another did as well, or one was sure.
    first: Option<TenantId>,
    beyond_doubt: bool,
    /// Pauses so far since it opened.
    times: u32,
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

    /// The right to look whether the server is back, or how long nobody will be let through.
    pub(super) fn probe(&mut self, now: Instant) -> Result<u64, Duration> {
        match self.phase {
            Phase::Open { until } if now < until => Err(until - now),
            Phase::Probing { .. } => Err(FIRST),
            Phase::Open { .. } => Ok(self.begin()),
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
        self.beyond_doubt = false;
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
                self.failures += 1;
                let other = self.first.is_some_and(|first| first != tenant);
                self.beyond_doubt |= other || trouble == Trouble::Surely;
                self.first.get_or_insert(tenant);
                let opens = self.failures >= OPENS_AT && self.beyond_doubt;
                if opens {
                    self.opened += 1;
                    self.pause(now, chance);
                }
                opens
            }
            Phase::Probing { probe: at } if probe == Some(at) => {
                self.pause(now, chance);
                true
            }
            // Begun before it opened: nothing new.
            Phase::Open { .. } | Phase::Probing { .. } => false,
        }
    }

    /// An open connection did not answer, and nobody was answered meanwhile: whoever found out goes
    /// on to look, and the others need not find out for themselves.
    pub(super) fn silent(&mut self) -> Option<u64> {
        self.is_closed().then(|| {
            self.opened += 1;
            self.begin()
        })
    }

    /// For how long nobody will be let through, about.
    pub(super) fn pauses_for(&self, now: Instant) -> Duration {
        match self.phase {
            Phase::Open { until } => until.saturating_duration_since(now),
            Phase::Probing { .. } | Phase::Closed => FIRST,
        }
    }

    fn begin(&mut self) -> u64 {
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

    #[test]
    fn one_probe_at_a_time_and_each_pause_is_longer() {
        let mut bench = Bench::opened();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = bench.breaker.probe(bench.now).expect_err("it is open");
            pauses.push(pause);
            bench.now += pause;
            let probe = bench.breaker.probe(bench.now).expect("one may look");
            assert!(bench.breaker.probe(bench.now).is_err(), "and only one");
            // A straggler of before the opening changes nothing.
            assert!(!bench.fails(7, Trouble::Surely));
            assert_eq!(bench.breaker.state(), BreakerState::HalfOpen);
            let now = bench.now;
            let again =
                bench
                    .breaker
                    .failed(tenant(1), Trouble::Perhaps, Some(probe), now, now, 0.0);
            assert!(again);
        }
        assert_eq!(pauses[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(pauses[7], LONGEST);
    }

    #[test]
    fn a_pause_is_shortened_by_chance() {
        let mut bench = Bench::opened();
        bench.now += FIRST;
        let probe = bench.breaker.probe(bench.now).expect("a probe");
        let now = bench.now;
        let trouble = Trouble::Perhaps;
        bench
            .breaker
            .failed(tenant(1), trouble, Some(probe), now, now, 0.5);
        let pause = bench.breaker.probe(now).expect_err("open");
        assert_eq!(pause, (FIRST * 2).mul_f64(0.75));
    }

    #[test]
    fn a_probe_that_learnt_nothing_is_replaced_and_one_that_did_closes_it() {
        let mut bench = Bench::opened();
        bench.now += FIRST;
        let first = bench.breaker.probe(bench.now).expect("a probe");
        bench.breaker.abandon(first, bench.now);
        let second = bench.breaker.probe(bench.now).expect("the next");
        bench.breaker.abandon(first, bench.now);
        assert_eq!(bench.breaker.state(), BreakerState::HalfOpen, "not its own");
        bench.breaker.lives(bench.now);
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
        bench.breaker.abandon(second, bench.now);
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
        assert_eq!(bench.breaker.closed_at, Some(bench.now));
        assert_eq!(bench.breaker.opened, 1);
    }

    #[test]
    fn a_silent_connection_makes_its_asker_look_and_nobody_else() {
        let mut bench = Bench::new();
        assert!(bench.breaker.silent().is_some());
        assert!(bench.breaker.silent().is_none());
        assert!(bench.breaker.probe(bench.now).is_err());
    }
}
