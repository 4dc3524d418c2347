//! The catalog out of reach, and a lease that ran out.

use std::time::Duration;

use tenantry_catalog::change_log::Kind;
use tenantry_router::{Config, ResolveError};
use tokio::time::Instant;

use crate::home::{Home, conn, eventually, resolve, whoami};
use crate::wire::Mode;

/// Tried: with `Gate::Away` never given, or with an entry that is due and cannot be read again
/// taken for lost (`Cache::is_usable`, `load`), the known tenant is refused within the time; with
/// `Gate::Away` given for ever, the router goes on saying that it serves.
pub async fn known_tenants_are_served_without_the_catalog_for_a_while(home: Home) {
    let (known, unknown) = (home.tenant("known").await, home.tenant("unknown").await);
    let config = Config {
        lease: Duration::from_millis(900),
        away: Duration::from_secs(4),
        // Due to be read again in the middle of it.
        cache_ttl: Duration::from_secs(2),
        ..Home::config()
    };
    let router = home.router(config).await;
    resolve(&router, &known).await.expect("a route");
    home.catalog_wire.set(Mode::Cut);
    let cut = Instant::now();
    let mut asked = 0;
    while cut.elapsed() < Duration::from_secs(3) {
        let mut conn = conn(&router, &known).await;
        assert_eq!(whoami(&mut conn).await.expect("asked"), "known");
        conn.release();
        let one = Instant::now();
        let outcome = resolve(&router, &unknown).await;
        assert_eq!(
            outcome.expect_err("not known here"),
            ResolveError::Unavailable
        );
        asked += 1;
        // The first waits for the catalog, the others only now and then.
        assert!(
            one.elapsed() < Duration::from_millis(2500),
            "{:?}",
            one.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked > 3, "unknown tenants are refused quickly");
    assert!(router.stats().away && !router.stats().lease_ok);
    eventually("nobody is served for longer than `away`", async || {
        resolve(&router, &known).await.is_err()
    })
    .await;
    assert!(cut.elapsed() > Duration::from_secs(3));
    assert!(!router.stats().away, "its time is over");
    home.catalog_wire.set(Mode::Open);
    eventually("both are served again", async || {
        resolve(&router, &known).await.is_ok() && resolve(&router, &unknown).await.is_ok()
    })
    .await;
    router.shutdown().await;
}

/// Tried: with `catch_up` left out of `registration.rs`, or `is_running` always true, the
/// suspended tenant is served after the wire opens.
pub async fn a_lost_lease_hands_out_nothing_before_the_log_was_read(home: Home) {
    let tenant = home.tenant("acme").await;
    let config = Config {
        lease: Duration::from_millis(800),
        // Nothing is served on trust.
        away: Duration::ZERO,
        listen: false,
        ..Home::config()
    };
    let router = home.router(config).await;
    conn(&router, &tenant).await.release();
    home.catalog_wire.set(Mode::Silent);
    let number = home.set_status(&tenant, "suspended", Kind::Fenced).await;
    eventually("nobody counts on this router any more", async || {
        home.behind(number).await.is_empty()
    })
    .await;
    // From here on whoever suspended the tenant believes that it is not served.
    let stop = tokio_util::sync::CancellationToken::new();
    let mut hammer = Vec::new();
    for _ in 0..4 {
        let (router, tenant, stop) = (router.clone(), tenant.clone(), stop.clone());
        hammer.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                let outcome = resolve(&router, &tenant).await;
                assert!(outcome.is_err(), "served after its lease was over");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    home.catalog_wire.set(Mode::Open);
    eventually("the router is back", async || router.stats().lease_ok).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let suspended = Err(ResolveError::Suspended { reason: None });
    assert_eq!(
        resolve(&router, &tenant)
            .await
            .map(|route| route.tenant_id()),
        suspended
    );
    stop.cancel();
    for task in hammer {
        task.await.expect("nothing stale was handed out");
    }
    router.shutdown().await;
}
