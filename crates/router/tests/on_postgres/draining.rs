//! What has to end is waited for, and ended at the deadline.

use std::time::Duration;

use sqlx::Executor;
use tenantry_catalog::change_log::Kind;
use tenantry_catalog::routers;
use tenantry_router::{AcquireError, Config, ResolveError};
use tokio::time::Instant;

use crate::home::{Home, conn, eventually, pid, resolve};

/// Tried: with the cut in `places.rs` left out, the long query runs on and the row is never
/// acknowledged; with the wait left out, the short one is cut.
pub async fn a_disconnect_waits_for_a_query_and_ends_it_at_the_deadline(home: Home) {
    let tenant = home.tenant("acme").await;
    let deadline = Duration::from_millis(1500);
    let router = home
        .router(Config {
            drain_deadline: deadline,
            ..Home::config()
        })
        .await;
    let mut long = conn(&router, &tenant).await;
    let mut short = conn(&router, &tenant).await;
    let idle = conn(&router, &tenant).await;
    let long_pid = pid(&mut long).await;
    idle.release();
    let long = tokio::spawn(async move {
        let outcome = long.execute("SELECT pg_sleep(60)").await;
        (outcome.is_ok(), Instant::now())
    });
    let short = tokio::spawn(async move {
        let outcome = short.execute("SELECT pg_sleep(0.8)").await.map(drop);
        short.release();
        outcome
    });
    tokio::time::sleep(Duration::from_millis(100)).await;

    let begun = Instant::now();
    let number = home.change(&tenant, Kind::Disconnect).await;
    router.wait_applied(number).await;
    eventually("the idle one is gone at once", async || {
        home.connections(&router).await == 2
    })
    .await;
    assert_eq!(home.behind(number).await, [router.id()]);

    // A new request is served meanwhile, on a connection of its own.
    let mut next = conn(&router, &tenant).await;
    assert_ne!(pid(&mut next).await, long_pid);
    next.release();

    short
        .await
        .expect("not cancelled")
        .expect("a short query is not cut");
    assert!(router.stats().acked < number, "not before all are over");
    let (finished, at) = long.await.expect("not cancelled");
    assert!(!finished, "a long query is ended");
    let after = at.duration_since(begun);
    assert!(after >= deadline, "not before the deadline: {after:?}");
    assert!(
        after < deadline + Duration::from_secs(2),
        "and soon after it: {after:?}"
    );
    router.wait_drained(number).await;
    eventually("others are told", async || {
        home.behind(number).await.is_empty()
    })
    .await;
    router.shutdown().await;
}

pub async fn shutdown_closes_deregisters_and_refuses(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(Home::config()).await;
    let route = resolve(&router, &tenant).await.expect("a route");
    let used = router.acquire(&route).await.expect("a connection");
    router.acquire(&route).await.expect("another").release();
    let mut catalog = home.conn().await;
    assert_eq!(routers::list(&mut catalog).await.expect("listed").len(), 1);
    let ending = tokio::spawn(router.clone().shutdown());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!ending.is_finished(), "it waits for the one in use");
    assert_eq!(
        resolve(&router, &tenant).await.expect_err("closing"),
        ResolveError::Unavailable
    );
    assert!(router.acquire(&route).await.is_err());
    used.release();
    ending.await.expect("ended");
    eventually("the server has ended them too", async || {
        home.connections(&router).await == 0
    })
    .await;
    assert_eq!(routers::list(&mut catalog).await.expect("listed"), []);
}

/// Tried: with `Cluster::shut` left out, the one that waits is told nothing before its time is over;
/// with `terminate` left out of `Inner::end`, the query goes on after the router's end.
pub async fn shutdown_tells_who_waits_and_ends_what_stays(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home
        .router(Config {
            per_tenant_max: 2,
            acquire_wait: Duration::from_secs(600),
            drain_deadline: Duration::from_millis(1500),
            ..Home::config()
        })
        .await;
    let route = resolve(&router, &tenant).await.expect("a route");
    let mut long = conn(&router, &tenant).await;
    let short = conn(&router, &tenant).await;
    let long = tokio::spawn(async move { long.execute("SELECT pg_sleep(600)").await.is_ok() });
    let waiting = tokio::spawn({
        let router = router.clone();
        async move { router.acquire(&route).await.map(drop) }
    });
    eventually("it waits", async || router.stats().waiting == 1).await;
    let ending = tokio::spawn(router.clone().shutdown());
    let told = waiting.await.expect("told");
    assert!(matches!(
        told,
        Err(AcquireError::Resolve(ResolveError::Unavailable))
    ));
    assert!(!ending.is_finished(), "at once: the leases are waited for");
    short.release();
    ending.await.expect("ended");
    assert!(!long.await.expect("not cancelled"), "its query was ended");
    eventually("the server has ended it too", async || {
        home.connections(&router).await == 0
    })
    .await;
}

/// Tried: with `Inner::stay` not renewing, the lease ends while the query runs.
pub async fn a_router_that_drains_counts_as_alive_until_it_leaves(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home
        .router(Config {
            lease: Duration::from_millis(600),
            drain_deadline: Duration::from_secs(30),
            ..Home::config()
        })
        .await;
    let mut long = conn(&router, &tenant).await;
    let long = tokio::spawn(async move { long.execute("SELECT pg_sleep(2)").await.is_ok() });
    let ending = tokio::spawn(router.clone().shutdown());
    let mut catalog = home.conn().await;
    let mut looks = 0;
    while let [one] = routers::list(&mut catalog)
        .await
        .expect("listed")
        .as_slice()
    {
        assert!(one.live, "after {looks} looks");
        looks += 1;
        // It goes on to do what others wait for.
        if looks == 10 {
            let number = home.change(&tenant, Kind::Updated).await;
            eventually("applied", async || home.behind(number).await.is_empty()).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ending.await.expect("ended");
    assert!(long.await.expect("not cancelled"), "its query was let end");
    assert!(looks > 10);
}
