//! What a router tells of itself and of a tenant that has trouble.

use std::time::Duration;

use tenantry_catalog::routers;
use tenantry_router::{AcquireError, By, Config, Limit, ProbeError, Reason, Router};

use crate::home::{Home, conn, eventually, resolve};
use crate::wire::Mode;

async fn told(home: &Home, router: &Router) -> Option<routers::Detail> {
    let all = routers::details(&mut home.conn().await).await;
    let mut all = all.expect("read").into_iter();
    all.find(|one| one.router.id == router.id())
}

/// Seen to fail with `tell` taken out of the loop that renews, and with a report that has no clusters.
pub async fn what_a_router_has_open_stands_in_the_catalog(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home
        .router(Config {
            lease: Duration::from_millis(600),
            ..Home::config()
        })
        .await;
    let held = conn(&router, &tenant).await;
    let mut catalog = home.conn().await;
    eventually("it tells of the connection", async || {
        let own = told(&home, &router).await;
        let report = own.and_then(|own| own.report).map(|(_, report)| report);
        report.is_some_and(|report| report.clusters.iter().any(|one| one.leased == 1))
    })
    .await;
    let own = told(&home, &router).await.expect("registered");
    let (behind, until) = (own.behind_seconds, own.lease_until);
    let (at, report) = own.report.expect("told");
    assert_eq!(behind, None);
    assert!(at < until + chrono::TimeDelta::seconds(1));
    let cluster = &report.clusters[0];
    assert_eq!((cluster.open, cluster.leased, cluster.waiting), (1, 1, 0));
    assert!(cluster.share > 0 && cluster.unreachable_since.is_none());
    assert_eq!(report.troubled[0].tenant_id, tenant.id);
    assert_eq!(report.troubled[0].connections, 1);
    assert_eq!(report.applied, router.applied());

    // What another version may have written is no report, and no reason to tell nothing of the rest.
    sqlx::query("UPDATE routers SET report = '[1]' WHERE id = $1")
        .bind(router.id().as_uuid())
        .execute(&mut catalog)
        .await
        .expect("written");
    let all = routers::details(&mut catalog).await.expect("read");
    assert!(all.iter().any(|one| one.router.id == router.id()));
    held.release();
    router.shutdown().await;
    assert!(
        routers::details(&mut catalog)
            .await
            .expect("read")
            .is_empty()
    );
}

/// Seen to fail without `refused` in `opened` (nothing is noted) and without `opened` there (the
/// server stays unreachable for good).
pub async fn why_a_tenant_cannot_connect_is_known_and_a_probe_tells_it_now(home: Home) {
    let (acme, other) = (home.tenant("acme").await, home.tenant("other").await);
    let router = home
        .router(Config {
            connect_timeout: Duration::from_millis(500),
            ..Home::config()
        })
        .await;
    let route = resolve(&router, &acme).await.expect("a route");
    let cluster = router.report().clusters[0].cluster_id;
    assert_eq!(router.reach(cluster), None, "nothing was tried yet");
    router.probe(acme.id).await.expect("a way");
    assert_eq!(router.stats().open, 0, "a probe is no part of the budget");
    assert_eq!(
        home.connections(&router).await,
        0,
        "and leaves nothing behind"
    );

    for (mode, reasons) in [(Mode::Silent, &[Reason::TimedOut][..]), (Mode::Cut, &[])] {
        home.cluster_wire.set(mode);
        router.acquire(&route).await.expect_err("no way");
        let stats = router.tenant_stats(acme.id).await;
        let last = stats.last_errors[0];
        assert_eq!(last.code, "DATABASE_UNAVAILABLE", "{mode:?}");
        assert!(
            reasons.is_empty() || reasons.contains(&last.reason),
            "{:?}",
            last.reason
        );
        assert!(stats.failing && stats.errors >= 1, "{stats:?}");
        let remembered = stats.remembered.expect("remembered");
        assert_eq!(remembered.epoch, route.epoch());
        let reach = router.reach(cluster).expect("tried");
        assert!(reach.unreachable_since.is_some() && reach.failures >= 1);
        let told = &router.report().clusters[0];
        assert_eq!(told.unreachable_since, reach.unreachable_since);
        let probe = router.probe(acme.id).await;
        assert!(
            matches!(probe, Err(ProbeError::Unreachable(_))),
            "{probe:?}"
        );
    }
    let untouched = router.tenant_stats(other.id).await;
    assert_eq!(untouched.last_errors, []);
    assert!(!untouched.failing && untouched.remembered.is_none());

    home.cluster_wire.set(Mode::Open);
    eventually("it recovers", async || router.acquire(&route).await.is_ok()).await;
    // An attempt of before may fail a moment after the first that succeeds.
    eventually("it is known to be reachable", async || {
        drop(router.acquire(&route).await);
        let reach = router.reach(cluster).expect("tried");
        (reach.unreachable_since, reach.failures) == (None, 0)
    })
    .await;
    let reach = router.reach(cluster).expect("tried");
    assert!(reach.last_opened.is_some());
    let stats = router.tenant_stats(acme.id).await;
    assert!(
        !stats.failing && !stats.last_errors.is_empty(),
        "kept for who asks later"
    );
    router.probe(acme.id).await.expect("a way again");
    router.shutdown().await;
}

/// Seen to fail without `waited` in `lease`, and without `failed` in `acquire`.
pub async fn who_waits_fails_and_holds_most_is_told(home: Home) {
    let (busy, calm) = (home.tenant("busy").await, home.tenant("calm").await);
    let router = home
        .router(Config {
            per_tenant_max: 2,
            acquire_wait: Duration::from_millis(20),
            ..Home::config()
        })
        .await;
    let held = [conn(&router, &busy).await, conn(&router, &busy).await];
    let calm_one = conn(&router, &calm).await;
    let route = resolve(&router, &busy).await.expect("a route");
    for _ in 0..3 {
        let refused = router.acquire(&route).await.expect_err("all in use");
        assert!(
            matches!(refused, AcquireError::Busy(Limit::Tenant)),
            "{refused}"
        );
    }
    let told = |by| {
        let ranked = router.top_tenants(by);
        ranked
            .iter()
            .map(|one| (one.tenant, one.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(By::Waits), [(busy.id, 3)]);
    assert_eq!(told(By::Errors), [(busy.id, 3)]);
    assert_eq!(told(By::Connections), [(busy.id, 2), (calm.id, 1)]);
    let stats = router.tenant_stats(busy.id).await;
    let pool = stats.pool.expect("a pool");
    assert_eq!(
        (pool.open, pool.leased, pool.cap, pool.waiting),
        (2, 2, 2, 0)
    );
    assert_eq!(stats.last_errors[0].code, "TENANT_BUSY");
    assert_eq!(stats.last_errors[0].times, 3);
    drop((held, calm_one));
    router.shutdown().await;
}
