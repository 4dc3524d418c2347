//! What is forgotten or makes room is never in use.

use std::time::Duration;

use sqlx::Executor;
use tenantry_router::{Config, Router, TenantConn};
use tokio::task::JoinHandle;

use crate::home::{Home, Tenant, conn, eventually, pid, resolve, whoami};

/// A query that goes on until the gate is opened, on a connection of the tenant's.
fn run(mut conn: TenantConn) -> JoinHandle<(TenantConn, i32)> {
    tokio::spawn(async move {
        let pid = pid(&mut conn).await;
        // Ended, it fails: a connection that was closed under it does not answer.
        conn.execute("SELECT pg_advisory_lock_shared(43); SELECT pg_advisory_unlock_shared(43)")
            .await
            .expect("the query was not cut");
        (conn, pid)
    })
}

/// The gates of the tenants' databases, shut: what asks there waits until they are dropped.
async fn gates(home: &Home, tenants: &[Tenant]) -> Vec<sqlx::PgConnection> {
    let mut gates = Vec::new();
    for tenant in tenants {
        let mut gate = home.world.connect("postgres", tenant.db.as_str()).await;
        gate.execute("SELECT pg_advisory_lock(43)")
            .await
            .expect("shut");
        gates.push(gate);
    }
    gates
}

async fn serve_all(router: &Router, tenants: &[Tenant]) {
    for tenant in tenants {
        let mut conn = conn(router, tenant).await;
        assert_eq!(
            whoami(&mut conn).await.expect("asked"),
            tenant.slug.as_str()
        );
        conn.release();
    }
}

/// The entries of twelve tenants in a cache of two. Tried: with an eviction listener on the cache
/// that retires the entry's generation, the connections do not come back.
pub async fn a_tenant_that_is_forgotten_keeps_its_connections(home: Home) {
    let tenants = home.tenants(12).await;
    let router = home
        .router(Config {
            cache_capacity: 2,
            ..Home::config()
        })
        .await;
    let gates = gates(&home, &tenants[..4]).await;
    let mut running = Vec::new();
    for tenant in &tenants[..4] {
        running.push(run(conn(&router, tenant).await));
    }
    // Everybody else comes by, again and again.
    let before = home.catalog_wire.sent();
    for _ in 0..5 {
        serve_all(&router, &tenants[4..]).await;
    }
    assert!(
        home.catalog_wire.sent() > before,
        "they do not all fit in the cache"
    );
    eventually("the cache is small", async || router.stats().tenants <= 2).await;
    assert!(
        running.iter().all(|query| !query.is_finished()),
        "they go on"
    );
    for mut gate in gates {
        gate.execute("SELECT pg_advisory_unlock(43)")
            .await
            .expect("open");
    }
    for (query, tenant) in running.into_iter().zip(&tenants) {
        let (lease, used) = query.await.expect("to its end");
        lease.release();
        let mut again = conn(&router, tenant).await;
        assert_eq!(
            pid(&mut again).await,
            used,
            "the same connection, by a new entry"
        );
        again.release();
    }
    let stats = router.stats();
    assert_eq!((stats.leased, stats.unseen_ends), (0, 0));
    assert_eq!(stats.open, 12, "one each");
    router.shutdown().await;
}

/// Three of four slots run queries; ten tenants share the fourth. Tried: with `pump` in
/// `budget/state.rs` not looking for room among idle connections, the second of them finds none.
pub async fn room_is_made_of_idle_connections_alone(home: Home) {
    let tenants = home.tenants(13).await;
    let router = home
        .router(Config {
            budget_override: Some(4),
            cache_capacity: 2,
            ..Home::config()
        })
        .await;
    let gates = gates(&home, &tenants[..3]).await;
    let mut running = Vec::new();
    for tenant in &tenants[..3] {
        running.push(run(conn(&router, tenant).await));
    }
    for _ in 0..2 {
        serve_all(&router, &tenants[3..]).await;
    }
    assert!(
        running.iter().all(|query| !query.is_finished()),
        "they go on"
    );
    let closed = router.cluster_stats()[0].closed_for_room;
    assert!(closed >= 19, "each made room for the next: {closed}");
    let route = resolve(&router, &tenants[0]).await.expect("a route");
    assert_eq!(route.tenant_id(), tenants[0].id);
    for mut gate in gates {
        gate.execute("SELECT pg_advisory_unlock(43)")
            .await
            .expect("open");
    }
    for query in running {
        let (mut lease, used) = tokio::time::timeout(Duration::from_secs(20), query)
            .await
            .expect("in time")
            .expect("to its end");
        assert_eq!(pid(&mut lease).await, used);
        lease.release();
    }
    router.shutdown().await;
}
