//! Never more connections than the budget, and nobody locked out by others' idle ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenantry_router::{AcquireError, Config, Limit};
use tokio::time::Instant;

use crate::home::{Home, conn, resolve, whoami};
use crate::world::{World, one};

/// The most connections that were seen at a time, looked at without a pause.
pub async fn watch(home: Arc<Home>, name: String, stop: Arc<AtomicBool>) -> i64 {
    let mut conn = home.world.connect("postgres", "postgres").await;
    let text = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
    let mut most = 0;
    while !stop.load(Ordering::Relaxed) {
        most = most.max(one::<i64>(&mut conn, &text).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    most
}

/// Tried: with `pump` in `budget/state.rs` closing no idle connection, a later tenant finds no
/// room.
pub async fn many_tenants_one_after_another_fit_in_few_slots(home: Home) {
    let tenants = home.tenants(30).await;
    let router = home
        .router(Config {
            budget_override: Some(10),
            ..Home::config()
        })
        .await;
    let home = Arc::new(home);
    let stop = Arc::new(AtomicBool::new(false));
    let name = format!("tenantry/{}", router.id());
    let watching = tokio::spawn(watch(Arc::clone(&home), name, Arc::clone(&stop)));
    for round in 0..2 {
        for tenant in &tenants {
            let mut conn = conn(&router, tenant).await;
            assert_eq!(
                whoami(&mut conn).await.expect("asked"),
                tenant.slug.as_str(),
                "{round}"
            );
            conn.release();
        }
    }
    let stats = router.stats();
    assert!(stats.idle <= 10 && stats.open <= 10, "{stats:?}");
    stop.store(true, Ordering::Relaxed);
    let most = watching.await.expect("watched");
    assert!((9..=10).contains(&most), "{most} at once");
    assert_eq!(router.stats().unseen_ends, 0);
    router.shutdown().await;
}

/// The figure of research: five poolers serve 97 of 130 tenants on a server with 97 free slots, one
/// client at a time, because the idle connections of the first keep them.
///
/// Tried: with `pump` in `budget/state.rs` closing no idle connection, a later tenant finds no
/// room.
pub async fn all_of_130_tenants_are_served_on_97_slots(home: Home) {
    // Three of them are the superuser's.
    let (server, _folder) = crate::world::start(|settings| settings.max_connections = 100).await;
    let tenants_world = Arc::new(World::new(server.port()).await);
    let home = Home::apart(Arc::clone(&home.world), tenants_world).await;
    let mut catalog = home.conn().await;
    tenantry_catalog::shares::set_budget(&mut catalog, home.cluster, 97)
        .await
        .expect("set");
    let tenants = home.tenants(130).await;
    let router = home.router(Home::config()).await;
    let mut served = 0;
    for tenant in &tenants {
        let mut conn = conn(&router, tenant).await;
        assert_eq!(
            whoami(&mut conn).await.expect("asked"),
            tenant.slug.as_str()
        );
        conn.release();
        served += 1;
    }
    assert_eq!(served, 130);
    let open = home.connections(&router).await;
    assert!((96..=97).contains(&open), "{open} of 97 slots are in use");
    // And all at once, four clients for each three slots.
    let asking: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            let (router, tenant) = (router.clone(), tenant.clone());
            tokio::spawn(async move {
                let mut conn = conn(&router, &tenant).await;
                let found = whoami(&mut conn).await.expect("asked");
                conn.release();
                found == tenant.slug.as_str()
            })
        })
        .collect();
    for task in asking {
        assert!(task.await.expect("served"));
    }
    router.shutdown().await;
    server.stop().await.expect("the server stops");
}

/// Tried: with `session::end` replaced by a plain close, more than the budget are seen at times.
pub async fn a_storm_never_exceeds_the_budget(home: Home) {
    let tenants = Arc::new(home.tenants(12).await);
    let config = Config {
        budget_override: Some(5),
        acquire_wait: Duration::from_secs(60),
        ..Home::config()
    };
    let router = home.router(config).await;
    let home = Arc::new(home);
    let stop = Arc::new(AtomicBool::new(false));
    let name = format!("tenantry/{}", router.id());
    let watching = tokio::spawn(watch(Arc::clone(&home), name, Arc::clone(&stop)));
    let mut storm = Vec::new();
    for task in 0..48_usize {
        let (router, tenants) = (router.clone(), Arc::clone(&tenants));
        storm.push(tokio::spawn(async move {
            for step in 0..8 {
                let tenant = &tenants[(task * 5 + step * 7) % tenants.len()];
                let mut conn = conn(&router, tenant).await;
                assert_eq!(
                    whoami(&mut conn).await.expect("asked"),
                    tenant.slug.as_str()
                );
                // Some forget to give it back, some are cancelled while they wait.
                match (task + step) % 4 {
                    0 => drop(conn),
                    1 => {
                        conn.release();
                        let route = resolve(&router, tenant).await.expect("a route");
                        let waiting = router.acquire(&route);
                        let _ = tokio::time::timeout(Duration::from_millis(2), waiting).await;
                    }
                    _ => conn.release(),
                }
            }
        }));
    }
    for task in storm {
        task.await.expect("every request was served");
    }
    stop.store(true, Ordering::Relaxed);
    let most = watching.await.expect("watched");
    assert!((4..=5).contains(&most), "{most} at once");
    crate::home::eventually("nothing is lost", async || {
        let stats = router.stats();
        stats.leased == 0 && stats.waiting == 0 && stats.open == stats.idle
    })
    .await;
    assert_eq!(router.stats().unseen_ends, 0);
    router.shutdown().await;
}

/// Tried: with ten times the wait; with `pump` serving the last turn first, and with `put_idle` not
/// looking whose turn it is, `a` goes before `c`.
pub async fn waiting_is_bounded_and_in_order(home: Home) {
    let (a, b) = (home.tenant("a").await, home.tenant("b").await);
    let config = Config {
        budget_override: Some(2),
        per_tenant_max: 1,
        acquire_wait: Duration::from_millis(400),
        ..Home::config()
    };
    let router = home.router(config).await;
    let (held_a, held_b) = (conn(&router, &a).await, conn(&router, &b).await);

    // The tenant's own limit is named apart from the cluster's.
    let route_a = resolve(&router, &a).await.expect("a route");
    let asked = Instant::now();
    let outcome = router.acquire(&route_a).await;
    assert!(
        matches!(outcome, Err(AcquireError::Busy(Limit::Tenant))),
        "{outcome:?}"
    );
    assert!(
        (350..1500).contains(&asked.elapsed().as_millis()),
        "{:?}",
        asked.elapsed()
    );
    let c = home.tenant("c").await;
    let route_c = resolve(&router, &c).await.expect("a route");
    let outcome = router.acquire(&route_c).await;
    assert!(
        matches!(outcome, Err(AcquireError::Busy(Limit::Cluster))),
        "{outcome:?}"
    );

    // First come, first served, also over tenants: `c` asks, then `a`; what `a` gives back goes
    // to `c`, though `a` would not have to connect anew.
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut asking = Vec::new();
    for (name, route) in [("c", route_c), ("a", route_a)] {
        let (router, order) = (router.clone(), Arc::clone(&order));
        asking.push(tokio::spawn(async move {
            let conn = router.acquire(&route).await.expect("served");
            order.lock().expect("alone").push(name);
            conn.release();
        }));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    held_a.release();
    for task in asking {
        task.await.expect("served");
    }
    assert_eq!(*order.lock().expect("alone"), ["c", "a"]);
    drop(held_b);
    router.shutdown().await;
}
