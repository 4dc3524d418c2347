//! Connections that are dropped instead of given back.

use std::time::Duration;

use sqlx::{Connection, Executor};
use tokio::time::timeout;

use crate::home::{Home, conn, eventually, pid, resolve};
use crate::world::one;

async fn is_alive(home: &Home, pid: i32) -> bool {
    let mut conn = home.world.connect("postgres", "postgres").await;
    one(
        &mut conn,
        &format!("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})"),
    )
    .await
}

/// Tried: with `is_idle` asking an empty statement, the failed transaction goes back to the pool.
pub async fn a_connection_comes_back_unless_it_was_left_in_the_middle(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(Home::config()).await;
    let settled = async || {
        eventually("it is settled", async || {
            let stats = router.stats();
            stats.leased == 0 && stats.open == stats.idle
        })
        .await;
    };

    let mut released = conn(&router, &tenant).await;
    let first = pid(&mut released).await;
    released.release();
    let mut dropped = conn(&router, &tenant).await;
    assert_eq!(pid(&mut dropped).await, first, "given back");
    drop(dropped);
    settled().await;

    // A transaction that was dropped is rolled back, and the connection is as good as before.
    let mut in_sqlx = conn(&router, &tenant).await;
    let mut tx = in_sqlx.begin().await.expect("begun");
    tx.execute("INSERT INTO whoami VALUES ('x')")
        .await
        .expect("written");
    drop(tx);
    drop(in_sqlx);
    settled().await;
    let mut after = conn(&router, &tenant).await;
    assert_eq!(pid(&mut after).await, first, "dropped idle, it came back");
    let rows: i64 = one(&mut after, "SELECT count(*) FROM whoami").await;
    assert_eq!(rows, 1, "and nothing was written");
    drop(after);
    settled().await;

    for middle in ["BEGIN", "BEGIN; SELECT 1 / 0"] {
        let mut open = conn(&router, &tenant).await;
        let pid = pid(&mut open).await;
        let _ = open.execute(middle).await;
        drop(open);
        settled().await;
        assert!(
            !is_alive(&home, pid).await,
            "left in the middle of {middle}"
        );
    }

    let mut busy = conn(&router, &tenant).await;
    let query_pid = pid(&mut busy).await;
    let query = busy.execute("SELECT pg_sleep(60)");
    assert!(
        timeout(Duration::from_millis(100), query).await.is_err(),
        "still running"
    );
    drop(busy);
    assert_eq!(
        router.stats().leased,
        1,
        "a lease until it is known to be over"
    );
    settled().await;
    assert!(
        !is_alive(&home, query_pid).await,
        "its query does not run on"
    );
    assert_eq!(router.stats().unseen_ends, 0);
    router.shutdown().await;
}

/// Tried: with what nobody takes in `open` forgotten instead of dropped, its slot is lost.
pub async fn a_dropped_request_leaves_nothing_behind(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(Home::config()).await;
    let route = resolve(&router, &tenant).await.expect("a route");
    // Cut off at every point on the way to the first connection.
    for micros in (0..6_000).step_by(150) {
        let _ = timeout(Duration::from_micros(micros), router.acquire(&route)).await;
        if micros % 900 == 0 {
            router.disconnect(tenant.id).await;
        }
    }
    eventually("all slots are accounted for", async || {
        let stats = router.stats();
        stats.leased == 0 && stats.waiting == 0 && stats.open == stats.idle
    })
    .await;
    eventually("the server agrees", async || {
        home.connections(&router).await == i64::try_from(router.stats().idle).expect("few")
    })
    .await;
    router.shutdown().await;
}
