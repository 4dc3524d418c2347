use std::sync::atomic::{AtomicU32, Ordering};

use tenantry_types::Entropy;

use super::*;

struct World {
    throttle: Throttle,
    clock: Clock,
    tenant: TenantId,
    ann: Email,
}

fn world() -> World {
    let clock = Clock::adjustable();
    World {
        throttle: Throttle::new(clock.clone(), Arc::new(Meters::new())),
        tenant: TenantId::generate(&clock, &Entropy::seeded(1)),
        ann: Email::parse("ann@acme.example").expect("an address"),
        clock,
    }
}

impl World {
    async fn guess(&self) -> Result<(), u64> {
        let attempt = self.throttle.attempt(self.tenant, &self.ann, None).await;
        attempt.map(Attempt::failed).map_err(|e| e.retry_after)
    }

    fn wait(&self, seconds: i64) {
        self.clock.advance(chrono::Duration::seconds(seconds));
    }
}

#[tokio::test]
async fn five_failures_are_free_then_the_wait_doubles_to_a_minute() {
    let world = world();
    for _ in 0..5 {
        assert_eq!(world.guess().await, Ok(()));
    }
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let refused = world.guess().await.expect_err("blocked");
        assert_eq!(refused, wait);
        world.wait(wait.cast_signed());
        assert_eq!(world.guess().await, Ok(()), "after waiting {wait} s");
    }
}

#[tokio::test]
async fn success_clears_the_account() {
    let world = world();
    for _ in 0..4 {
        assert_eq!(world.guess().await, Ok(()));
    }
    let attempt = world.throttle.attempt(world.tenant, &world.ann, None).await;
    attempt.expect("a seat").succeeded();
    for _ in 0..5 {
        assert_eq!(world.guess().await, Ok(()));
    }
    assert_eq!(world.guess().await, Err(1));
}

#[tokio::test]
async fn failures_are_forgotten_after_a_quarter_of_an_hour_and_counted_per_account() {
    let world = world();
    for _ in 0..5 {
        assert_eq!(world.guess().await, Ok(()));
    }
    let other = TenantId::generate(&world.clock, &Entropy::seeded(2));
    assert!(
        world
            .throttle
            .attempt(other, &world.ann, None)
            .await
            .is_ok()
    );
    world.wait(15 * 60);
    assert_eq!(world.guess().await, Ok(()));
    assert_eq!(world.guess().await, Ok(()));
}

#[tokio::test]
async fn fifty_guesses_at_once_get_no_more_than_five_tries() {
    let world = Arc::new(world());
    let tried = Arc::new(AtomicU32::new(0));
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (world, tried) = (Arc::clone(&world), Arc::clone(&tried));
        guesses.spawn(async move {
            let attempt = world
                .throttle
                .attempt(world.tenant, &world.ann, None)
                .await?;
            tried.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            attempt.failed();
            Ok::<_, TooMany>(())
        });
    }
    let ends = guesses.join_all().await;
    assert_eq!(tried.load(Ordering::SeqCst), 5);
    assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 45);
}

#[tokio::test]
async fn fifty_right_sign_ins_at_once_all_pass() {
    let world = Arc::new(world());
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let world = Arc::clone(&world);
        logins.spawn(async move {
            let attempt = world
                .throttle
                .attempt(world.tenant, &world.ann, None)
                .await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            attempt.succeeded();
            Ok::<_, TooMany>(())
        });
    }
    assert!(logins.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn an_attempt_without_an_end_counts_as_nothing() {
    let world = world();
    for _ in 0..20 {
        let attempt = world.throttle.attempt(world.tenant, &world.ann, None).await;
        drop(attempt.expect("a seat"));
    }
    assert_eq!(world.guess().await, Ok(()));
}

#[tokio::test]
async fn who_leaves_while_the_password_is_hashed_has_failed() {
    let world = world();
    for _ in 0..5 {
        let attempt = world.throttle.attempt(world.tenant, &world.ann, None).await;
        let mut attempt = attempt.expect("a seat");
        attempt.hashing();
        drop(attempt);
    }
    assert_eq!(world.guess().await, Err(1));
}

#[tokio::test]
async fn a_right_password_is_no_failure_of_its_address() {
    let world = world();
    let client = Some("192.0.2.7".parse().expect("an address"));
    for _ in 0..60 {
        let attempt = world.throttle.attempt(world.tenant, &world.ann, client);
        let mut attempt = attempt.await.expect("a seat");
        attempt.hashing();
        attempt.succeeded();
    }
}

#[tokio::test]
async fn one_client_has_fifty_failures_a_minute_over_all_accounts() {
    let world = world();
    let client: IpAddr = "192.0.2.7".parse().expect("an address");
    let guess = async |n: u32, ip: IpAddr| {
        let email = Email::parse(&format!("u{n}@acme.example")).expect("an address");
        let attempt = world.throttle.attempt(world.tenant, &email, Some(ip)).await;
        attempt.map(Attempt::failed).map_err(|e| e.retry_after)
    };
    for n in 0..50 {
        assert_eq!(guess(n, client).await, Ok(()));
    }
    assert_eq!(guess(50, client).await, Err(1));
    let neighbour = "192.0.2.8".parse().expect("an address");
    assert_eq!(guess(51, neighbour).await, Ok(()));
    world.wait(60);
    assert_eq!(guess(52, client).await, Ok(()));
    assert_eq!(guess(53, client).await, Ok(()));
}

#[test]
fn a_client_of_ipv6_is_its_64() {
    let net = |text: &str| network_of(text.parse().expect("an address"));
    assert_eq!(net("2001:db8:1:2::1"), net("2001:db8:1:2:ffff::9"));
    assert_ne!(net("2001:db8:1:2::1"), net("2001:db8:1:3::1"));
    assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
}

#[tokio::test]
async fn the_base_domain_and_each_tenant_have_a_count_of_their_own() {
    let world = world();
    let base = || world.throttle.attempt_at_base(&world.ann, None);
    let within = || world.throttle.attempt_within(world.tenant, &world.ann);
    for _ in 0..4 {
        base().await.expect("a seat").failed();
        within().expect("a seat").failed();
    }
    // It is right in another tenant: the base domain forgets, this tenant does not.
    base().await.expect("a seat").succeeded();
    within().expect("a seat").failed();
    assert!(within().is_none(), "five were free");
    assert_eq!(world.guess().await, Ok(()), "its own host does not show it");
    base().await.expect("a seat").failed();
}

#[tokio::test]
async fn at_a_tenant_nobody_from_the_base_domain_waits_for_a_seat() {
    let world = world();
    let seats: Vec<_> = (0..5)
        .map(|_| world.throttle.attempt_within(world.tenant, &world.ann))
        .collect();
    assert!(seats.iter().all(Option::is_some));
    assert!(
        world
            .throttle
            .attempt_within(world.tenant, &world.ann)
            .is_none()
    );
    drop(seats);
    assert!(
        world
            .throttle
            .attempt_within(world.tenant, &world.ann)
            .is_some()
    );
}

#[tokio::test]
async fn an_attempt_that_names_no_account_counts_for_its_address() {
    let world = world();
    let client = Some(IpAddr::from([192, 0, 2, 1]));
    for _ in 0..50 {
        let attempt = world.throttle.attempt_from(client).await;
        attempt.expect("a seat").failed();
    }
    assert!(world.throttle.attempt_from(client).await.is_err());
    assert!(world.throttle.attempt_from(None).await.is_ok());
}

#[tokio::test]
async fn no_more_than_so_many_wait_for_a_seat() {
    let world = world();
    let attempt = || world.throttle.attempt(world.tenant, &world.ann, None);
    let mut seats = Vec::new();
    for _ in 0..5 {
        seats.push(attempt().await.expect("a seat"));
    }
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut one = Box::pin(attempt());
        let looked = tokio::time::timeout(Duration::ZERO, &mut one).await;
        assert!(looked.is_err(), "it waits");
        waiting.push(one);
    }
    let refused = attempt().await.map(drop);
    assert_eq!(refused, Err(TooMany { retry_after: 1 }), "without waiting");
    drop(waiting);
    drop(seats);
    assert!(attempt().await.is_ok());
}
