//! The rules of the slots, without connections: what is granted is room, and dropping it frees it.
//! What moves connections is in `tests/on_postgres`.

use std::time::Duration;

use tenantry_catalog::clusters::TlsMode;
use tenantry_catalog::shares::Share;
use tenantry_types::{
    Clock, ClusterId, DatabaseId, DbName, Entropy, InstallationId, RoleName, Secret, TenantId,
};
use tenantry_vault::{Keyring, Place as SealedPlace};

use super::*;
use crate::closing::Closer;
use crate::connect::{Address, Connector};
use crate::generation::{Generations, Place};

const MANY: usize = 10_000;

struct Bench {
    cluster: Arc<Cluster>,
    generations: Arc<Generations>,
    keys: Keyring,
    clock: Clock,
    entropy: Entropy,
}

/// Rules that are in nobody's way.
fn wide() -> Rules {
    Rules {
        waiters_per_tenant: MANY,
        waiters_per_cluster: MANY,
        connects: MANY,
    }
}

impl Bench {
    fn new(limit: usize, rules: Rules) -> Self {
        let (clock, entropy) = (Clock::system(), Entropy::seeded(7));
        let keys = Keyring::generate(&entropy);
        let installation = InstallationId::generate(&clock, &entropy);
        let connector = Connector::new(keys.route(), installation, Duration::ZERO, "test");
        let closer = Closer::new(Arc::new(connector));
        let tasks = Tasks::new(Arc::new(closer));
        let cluster = Cluster::new(rules, tasks, entropy.clone(), Arc::default());
        let bench = Self {
            cluster: Arc::new(cluster),
            generations: Arc::default(),
            keys,
            clock,
            entropy,
        };
        bench.share(limit, 1);
        bench
    }

    /// The router's share of the budget, as the answer to a report.
    fn share(&self, slots: usize, report: i64) {
        let slots = u32::try_from(slots).expect("a small number");
        let share = Share {
            cluster: ClusterId::generate(&self.clock, &self.entropy),
            incarnation: 0,
            slots,
            goal: slots,
            budget: slots,
        };
        self.cluster.take(&share, report, MANY);
    }

    fn tenant(&self, cap: usize) -> Arc<Generation> {
        let tenant = TenantId::generate(&self.clock, &self.entropy);
        let database_id = DatabaseId::generate(&self.clock, &self.entropy);
        let at = SealedPlace::login(database_id, "router");
        let sealed = self
            .keys
            .route()
            .seal(&self.entropy, &at, &Secret::new("x"));
        let place = Place {
            cluster_id: ClusterId::generate(&self.clock, &self.entropy),
            address: Address {
                host: "nowhere".to_owned(),
                port: 1,
                tls: TlsMode::Disable,
                root_ca: None,
            },
            database_id,
            epoch: 1,
            database: DbName::parse("nothing").expect("a name"),
            login: RoleName::parse("nobody").expect("a name"),
            sealed: sealed.expect("sealed"),
        };
        let placed = self.generations.of(tenant, place, 0, cap, &self.cluster);
        placed.generation
    }

    fn ask(&self, tenant: &Arc<Generation>) -> Asked {
        self.cluster.ask(tenant, Want::Any)
    }

    fn slot(&self, tenant: &Arc<Generation>) -> Slot {
        match self.ask(tenant) {
            Asked::Now(Grant::Slot(slot)) => slot,
            _ => panic!("no room at once"),
        }
    }

    fn waits(&self, tenant: &Arc<Generation>) -> Waiter {
        match self.ask(tenant) {
            Asked::Wait(waiter) => waiter,
            _ => panic!("it need not wait"),
        }
    }

    fn refused(&self, tenant: &Arc<Generation>) -> Limit {
        match self.ask(tenant) {
            Asked::Now(Grant::Busy(limit)) => limit,
            _ => panic!("it may wait"),
        }
    }

    /// What the lists say is what the pools say, and nobody waits for what is free.
    fn is_consistent(&self) {
        self.cluster.with(|_, _| ());
        let state = self.cluster.state.lock().expect("alone");
        state.is_consistent();
    }
}

fn granted(waiter: &mut Waiter) -> Option<Grant> {
    waiter.receiver.try_recv().ok()
}

/// The waiters that have their slot now, by their place in the list.
fn served(waiters: &mut Vec<(&'static str, Waiter)>) -> Vec<(&'static str, Slot)> {
    let mut served = Vec::new();
    let mut left = Vec::new();
    for (name, mut waiter) in std::mem::take(waiters) {
        match granted(&mut waiter) {
            Some(Grant::Slot(slot)) => served.push((name, slot)),
            Some(_) => panic!("{name} was sent away"),
            None => left.push((name, waiter)),
        }
    }
    *waiters = left;
    served
}

/// Tried: with `ready` in the order of the oldest waiter alone, the quiet ones wait for all thousand.
#[tokio::test]
async fn a_thousand_waiters_of_one_tenant_do_not_keep_the_others_waiting() {
    let bench = Bench::new(4, wide());
    let noisy = bench.tenant(10);
    let mut held: Vec<_> = (0..4).map(|_| ("noisy", bench.slot(&noisy))).collect();
    let mut waiting: Vec<_> = (0..1_000).map(|_| ("noisy", bench.waits(&noisy))).collect();
    let quiet = ["a", "b", "c", "d", "e"].map(|name| (name, bench.tenant(10)));
    for (name, tenant) in &quiet {
        waiting.push((name, bench.waits(tenant)));
    }
    let mut order = Vec::new();
    for _ in 0..12 {
        drop(held.remove(0));
        let now = served(&mut waiting);
        assert_eq!(now.len(), 1, "one was freed, one is served");
        order.push(now[0].0);
        held.extend(now);
        bench.is_consistent();
    }
    // While it has more than they, the others go first; when it has none, it has waited longest.
    assert_eq!(order[..6], ["a", "b", "c", "noisy", "d", "e"]);
    assert_eq!(waiting.len(), 1_005 - 12);
}

/// Tried: without `served` in `Turn`, the first one's whole queue goes before the second's.
#[tokio::test]
async fn two_noisy_tenants_take_turns_and_each_is_served_in_order() {
    let bench = Bench::new(1, wide());
    let tenants = [("a", bench.tenant(10)), ("b", bench.tenant(10))];
    let mut held = bench.slot(&tenants[0].1);
    let mut waiting = Vec::new();
    for (name, tenant) in &tenants {
        for _ in 0..100 {
            waiting.push((*name, bench.waits(tenant)));
        }
    }
    // The first one's queue was there before the second came.
    let mut last = "b";
    for _ in 0..150 {
        let before: Vec<u64> = waiting.iter().map(|(_, waiter)| waiter.number).collect();
        drop(held);
        let mut now = served(&mut waiting);
        let (name, slot) = now.pop().expect("one is served");
        assert_ne!(name, last, "turn by turn");
        let left: Vec<u64> = waiting.iter().map(|(_, waiter)| waiter.number).collect();
        let gone = before.iter().find(|number| !left.contains(number));
        let of_it = |(who, waiter): &(&str, Waiter)| (*who == name).then_some(waiter.number);
        assert!(
            waiting
                .iter()
                .filter_map(of_it)
                .all(|later| Some(&later) > gone)
        );
        (held, last) = (slot, name);
    }
}

/// Tried: with `since` zero for a pool that was born anew, the one that waits is passed for ever.
#[tokio::test]
async fn a_stream_of_newcomers_does_not_pass_one_that_waits() {
    let bench = Bench::new(1, wide());
    let patient = bench.tenant(10);
    let mut held = Some(bench.slot(&patient));
    let mut first = bench.waits(&patient);
    let mut newcomers: Vec<(&'static str, Waiter)> = Vec::new();
    let mut passed = 0;
    loop {
        for _ in 0..3 {
            newcomers.push(("new", bench.waits(&bench.tenant(10))));
        }
        held.take();
        if let Some(Grant::Slot(_)) = granted(&mut first) {
            break;
        }
        held = served(&mut newcomers).pop().map(|(_, slot)| slot);
        passed += 1;
        assert!(passed < 3, "passed by those who came later");
    }
    bench.is_consistent();
}

/// Tried: with `Cluster::leave` doing nothing, the place of who left stays taken; with the oldest of the
/// longest queue sent away instead of the newest.
#[tokio::test]
async fn no_queue_is_longer_than_its_bound_and_who_goes_away_leaves_at_once() {
    let rules = Rules {
        waiters_per_tenant: 3,
        waiters_per_cluster: 5,
        connects: MANY,
    };
    let bench = Bench::new(1, rules);
    let (a, b, c) = (bench.tenant(9), bench.tenant(9), bench.tenant(9));
    let _held = bench.slot(&a);
    let mut of_a: Vec<_> = (0..3).map(|_| bench.waits(&a)).collect();
    assert_eq!(bench.refused(&a), Limit::Tenant);
    drop(of_a.pop());
    of_a.push(bench.waits(&a));
    assert_eq!(bench.refused(&a), Limit::Tenant, "one left, one came");
    let _of_b = [bench.waits(&b), bench.waits(&b)];
    assert_eq!(bench.cluster.count().waiting, 5);
    // The queue of the cluster is full. A tenant that waits with nobody takes the place of the
    // newest in the longest queue; one that would then wait with as many is refused.
    let _of_c = bench.waits(&c);
    let sent_away: Vec<bool> = of_a
        .iter_mut()
        .map(|waiter| matches!(granted(waiter), Some(Grant::Busy(Limit::Cluster))))
        .collect();
    assert_eq!(sent_away, [false, false, true]);
    assert_eq!(bench.refused(&b), Limit::Cluster);
    assert_eq!(bench.refused(&c), Limit::Cluster);
    assert_eq!(bench.cluster.count().waiting, 5);
    bench.is_consistent();
    drop((of_a, _of_b, _of_c));
    assert_eq!(bench.cluster.count().waiting, 0, "nothing is left of them");
    bench.is_consistent();
}

/// Tried: with `opening` not looked at in `pump`, sixteen are opened at once.
#[tokio::test]
async fn only_so_many_connect_at_a_time_and_one_tenant_half_of_them() {
    let rules = Rules {
        connects: 4,
        ..wide()
    };
    let bench = Bench::new(100, rules);
    let (a, others) = (bench.tenant(10), [(); 5].map(|()| bench.tenant(10)));
    let mut held = vec![("a", bench.slot(&a)), ("a", bench.slot(&a))];
    let mut waiting: Vec<_> = (0..8).map(|_| ("a", bench.waits(&a))).collect();
    assert!(served(&mut waiting).is_empty(), "half of them");
    held.push(("b", bench.slot(&others[0])));
    held.push(("b", bench.slot(&others[1])));
    for other in &others[2..] {
        waiting.push(("b", bench.waits(other)));
    }
    let mut most = 0;
    while !waiting.is_empty() {
        drop(held.remove(0));
        held.extend(served(&mut waiting));
        bench.is_consistent();
        most = most.max(held.len());
        assert!(held.iter().filter(|(name, _)| *name == "a").count() <= 2);
    }
    assert_eq!(most, 4);
    assert_eq!(bench.cluster.count().open, held.len(), "no slot was lost");
}

/// Tried: without `refresh` in `set_cap`, the second goes on waiting.
#[tokio::test]
async fn a_cap_that_changes_takes_effect_at_once() {
    let bench = Bench::new(10, wide());
    let tenant = bench.tenant(1);
    let _one = bench.slot(&tenant);
    let mut second = bench.waits(&tenant);
    assert!(granted(&mut second).is_none());
    bench.cluster.set_cap(&tenant, 2);
    assert!(matches!(granted(&mut second), Some(Grant::Slot(_))));
    bench.cluster.set_cap(&tenant, 1);
    let mut third = bench.waits(&tenant);
    assert!(granted(&mut third).is_none());
    bench.is_consistent();
}

/// Tried: with nobody dismissed in `Cluster::failed`, those who wait are told nothing.
#[tokio::test(start_paused = true)]
async fn a_dead_server_sends_everybody_away_and_lets_one_look() {
    let bench = Bench::new(2, wide());
    let tenants = [(); 4].map(|()| bench.tenant(10));
    let held = [bench.slot(&tenants[0]), bench.slot(&tenants[1])];
    let mut waiting = [bench.waits(&tenants[2]), bench.waits(&tenants[3])];
    let begun = Instant::now();
    for tenant in &tenants[..3] {
        bench.cluster.failed(tenant, Trouble::Perhaps, None, begun);
    }
    for waiter in &mut waiting {
        assert!(
            matches!(granted(waiter), Some(Grant::Down(_))),
            "told at once"
        );
    }
    drop(held);
    assert!(matches!(bench.ask(&tenants[2]), Asked::Down));
    let probe = |n: usize| bench.cluster.probe(tenants[n].tenant);
    let pause = probe(0).err().expect("not yet");
    tokio::time::advance(pause).await;
    let first = probe(0).ok().flatten().expect("one may look");
    assert!(probe(1).is_err(), "and only one");
    assert!(matches!(bench.ask(&tenants[2]), Asked::Down));
    assert!(matches!(
        bench.cluster.ask(&tenants[2], Want::Probe),
        Asked::Now(Grant::Slot(_))
    ));
    drop(first);
    let _next = probe(2).ok().flatten().expect("the next may");
    bench.cluster.lives();
    let _slot = bench.slot(&tenants[3]);
    let stats = bench.cluster.stats(tenants[0].place.cluster_id);
    assert_eq!(
        (stats.breaker, stats.breaker_opened),
        (BreakerState::Closed, 1)
    );
    bench.is_consistent();
}

/// Tried: with nobody dismissed in `shut`, those who wait are told nothing; with `shut` not looked at in
/// `ask`, one more slot is given out.
#[tokio::test]
async fn the_end_sends_everybody_away_at_once() {
    let bench = Bench::new(1, wide());
    let (a, b) = (bench.tenant(10), bench.tenant(10));
    let held = bench.slot(&a);
    let mut waiting = [bench.waits(&a), bench.waits(&b)];
    bench.cluster.shut();
    for waiter in &mut waiting {
        assert!(matches!(granted(waiter), Some(Grant::Shut)));
    }
    drop(held);
    assert!(matches!(bench.ask(&a), Asked::Now(Grant::Shut)));
    assert_eq!(bench.cluster.count(), Count::default());
}

/// Whatever happens in whatever order: no slot too many, none lost, nobody forgotten.
///
/// Tried: without `refresh` in `leave`, and without it in `set_cap`, the lists are not what the pools say.
#[tokio::test]
async fn any_order_of_events_keeps_the_books() {
    let rules = Rules {
        waiters_per_tenant: 6,
        waiters_per_cluster: 15,
        connects: 3,
    };
    for seed in 0..40 {
        let bench = Bench::new(5, rules);
        let chance = Entropy::seeded(seed);
        let pick = |below: usize| {
            let random = u64::from_le_bytes(chance.bytes());
            usize::try_from(random % u64::try_from(below).expect("few")).expect("few")
        };
        let mut tenants: Vec<_> = (0..6).map(|_| bench.tenant(3)).collect();
        let (mut held, mut waiting): (Vec<Slot>, Vec<Waiter>) = (Vec::new(), Vec::new());
        let mut most = 5;
        for step in 0..400 {
            let tenant = pick(tenants.len());
            match pick(20) {
                0..9 => match bench.ask(&tenants[tenant]) {
                    Asked::Now(Grant::Slot(slot)) => held.push(slot),
                    Asked::Wait(waiter) => waiting.push(waiter),
                    Asked::Now(Grant::Busy(_)) => {}
                    _ => panic!("neither retired nor down"),
                },
                9..14 if !held.is_empty() => drop(held.remove(pick(held.len()))),
                14..16 if !waiting.is_empty() => drop(waiting.remove(pick(waiting.len()))),
                16 => bench.cluster.set_cap(&tenants[tenant], 1 + pick(4)),
                17 => {
                    most = 2 + pick(5);
                    bench.share(most, 2 + step);
                }
                18 => {
                    let fresh = bench.tenant(3);
                    let old = std::mem::replace(&mut tenants[tenant], fresh);
                    bench.cluster.retire(&old);
                }
                _ => {}
            }
            let before = held.len();
            waiting.retain_mut(|waiter| match granted(waiter) {
                Some(Grant::Slot(slot)) => {
                    held.push(slot);
                    false
                }
                other => other.is_none(),
            });
            assert!(held.len() <= most.max(before), "seed {seed}, step {step}");
            assert_eq!(bench.cluster.count().open, held.len());
            assert_eq!(bench.cluster.count().waiting, waiting.len());
            bench.is_consistent();
        }
        drop((held, waiting));
        assert_eq!(bench.cluster.count(), Count::default(), "seed {seed}");
    }
}

/// Tried: with `Cluster::take` not setting it for those without the lock, the slot is not lost.
#[tokio::test]
async fn a_slot_of_a_share_that_was_taken_away_is_lost() {
    let bench = Bench::new(2, wide());
    let tenant = bench.tenant(10);
    let before = bench.slot(&tenant);
    assert!(!bench.cluster.is_lost(before.incarnation()));
    let share = Share {
        cluster: ClusterId::generate(&bench.clock, &bench.entropy),
        incarnation: 1,
        slots: 2,
        goal: 2,
        budget: 2,
    };
    bench.cluster.take(&share, 2, MANY);
    assert!(bench.cluster.is_lost(before.incarnation()));
    let after = bench.slot(&tenant);
    assert!(!bench.cluster.is_lost(after.incarnation()));
}

/// A connection that is closed while nobody waits is not what those who wait later wait for.
///
/// Tried: with such a slot counted as `Closing`, who waits is told to wait for it.
#[tokio::test]
async fn a_quiet_end_is_no_slot_that_is_about_to_be_free() {
    let bench = Bench::new(2, wide());
    let (a, b) = (bench.tenant(10), bench.tenant(10));
    let end = |slot: &mut Slot, quietly| bench.cluster.with(|state, _| state.end(slot, quietly));
    let covered = || bench.cluster.with(|state, _| state.is_covered());
    let mut first = bench.slot(&a);
    assert!(end(&mut first, true), "nobody waits, and there is room");
    let mut second = bench.slot(&a);
    let mut waiting = bench.waits(&b);
    assert!(!covered(), "nobody sees when the first one has ended");
    assert!(!end(&mut second, true), "its slot is needed");
    assert!(covered(), "somebody does here");
    bench.is_consistent();
    drop(second);
    assert!(matches!(granted(&mut waiting), Some(Grant::Slot(_))));
}
