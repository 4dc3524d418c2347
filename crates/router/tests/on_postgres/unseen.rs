//! Connections whose end nobody sees, and attempts that nobody answers: they count until they are over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenantry_router::Config;
use tokio::time::Instant;

use crate::budget::watch;
use crate::home::{Home, cluster_stats, conn, eventually, resolve, whoami};
use crate::wire::Mode;

fn config() -> Config {
    Config {
        budget_override: Some(3),
        connect_timeout: Duration::from_millis(500),
        acquire_wait: Duration::from_secs(60),
        ..Home::config()
    }
}

/// Idle connections are closed for room while nothing passes on them, and the server hears nothing of it: it
/// keeps their sessions. They are ended by another connection before others are opened.
///
/// Tried: with `Closer::over` giving the slot back, six are seen at once.
pub async fn a_connection_whose_end_is_not_seen_counts_until_it_is(home: Home) {
    let tenants = home.tenants(6).await;
    let router = home.router(config()).await;
    for tenant in &tenants[..3] {
        conn(&router, tenant).await.release();
    }
    let home = Arc::new(home);
    let stop = Arc::new(AtomicBool::new(false));
    let name = format!("tenantry/{}", router.id());
    let watching = tokio::spawn(watch(Arc::clone(&home), name, Arc::clone(&stop)));
    home.cluster_wire.strand();
    let asking = tenants[3..].iter().map(|tenant| {
        let (router, tenant) = (router.clone(), tenant.clone());
        tokio::spawn(async move {
            let mut conn = conn(&router, &tenant).await;
            assert_eq!(
                whoami(&mut conn).await.expect("asked"),
                tenant.slug.as_str()
            );
            conn.release();
        })
    });
    for task in asking.collect::<Vec<_>>() {
        task.await.expect("served, with the slots of the others");
    }
    assert_eq!(router.stats().unseen_ends, 3);
    stop.store(true, Ordering::Relaxed);
    let most = watching.await.expect("watched");
    assert_eq!(most, 3, "never more than the budget");
    router.shutdown().await;
}

/// Tried: with attempts that are given up a second after they were late, one slot is counted instead of three.
pub async fn an_attempt_that_is_not_answered_counts_until_it_is(home: Home) {
    let tenants = home.tenants(4).await;
    let router = home.router(config()).await;
    let cluster = home.cluster;
    home.cluster_wire.set(Mode::Silent);
    let asks = async |count: usize| {
        let asking = (0..count).map(|n| {
            let (router, tenant) = (router.clone(), tenants[n % tenants.len()].clone());
            tokio::spawn(async move {
                let route = resolve(&router, &tenant).await.expect("a route");
                router.acquire(&route).await.map(drop)
            })
        });
        for task in asking.collect::<Vec<_>>() {
            task.await.expect("asked").expect_err("nobody answers");
        }
    };
    asks(3).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        asks(8).await;
        assert_eq!(cluster_stats(&router, cluster).open, 3);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        home.cluster_wire.taken(),
        3,
        "no more than the budget is asked for"
    );
    // The server is back: the attempts are answered, which is seen, and nothing keeps anybody waiting.
    home.cluster_wire.set(Mode::Open);
    eventually("all are served", async || {
        for tenant in &tenants {
            let route = resolve(&router, tenant).await.expect("a route");
            let Ok(mut conn) = router.acquire(&route).await else {
                return false;
            };
            let found = whoami(&mut conn).await.expect("asked");
            assert_eq!(found, tenant.slug.as_str());
            conn.release();
        }
        true
    })
    .await;
    let stats = cluster_stats(&router, cluster);
    assert!(stats.open <= 3 && stats.connecting == 0, "{stats:?}");
    router.shutdown().await;
}
