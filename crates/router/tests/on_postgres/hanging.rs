//! A server that is dead or hangs: its own tenants are told at once, and nobody else notices.

use std::process::Command;
use std::time::Duration;

use sqlx::{Connection, Executor};
use tenantry_router::{AcquireError, BreakerState, Config, Router, TenantConn};
use tenantry_types::ClusterId;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::home::{Home, Tenant, cluster_stats, conn, eventually, pid, resolve, whoami};
use crate::wire::Mode;
use crate::world::execute;

async fn tenants_on(home: &Home, cluster: ClusterId, count: usize) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for number in 0..count {
        tenants.push(home.tenant_on(cluster, &format!("sick{number}")).await);
    }
    tenants
}

fn ask(router: &Router, tenant: &Tenant) -> JoinHandle<Result<(), AcquireError>> {
    let (router, tenant) = (router.clone(), tenant.clone());
    tokio::spawn(async move {
        let route = resolve(&router, &tenant).await.expect("a route");
        router.acquire(&route).await.map(drop)
    })
}

async fn all_are_served(router: &Router, tenants: &[Tenant]) -> bool {
    for tenant in tenants {
        let route = resolve(router, tenant).await.expect("a route");
        let Ok(mut conn) = router.acquire(&route).await else {
            return false;
        };
        assert_eq!(
            whoami(&mut conn).await.expect("asked"),
            tenant.slug.as_str()
        );
        conn.release();
    }
    true
}

/// Nothing here depends on time: all that the sick cluster has under way hangs until the end, and
/// meanwhile the healthy one does as much as it is asked, also what needs new connections.
///
/// Tried: with one `Semaphore` of eight for the connects of all clusters instead of `opening` of
/// each, the healthy one's first new connection hangs as well.
pub async fn a_silent_cluster_costs_a_healthy_one_nothing(home: Home) {
    let (second, wire) = home.second_cluster().await;
    let sick = tenants_on(&home, second, 8).await;
    let well = home.tenants(4).await;
    let router = home
        .router(Config {
            connect_timeout: Duration::from_secs(600),
            acquire_wait: Duration::from_secs(600),
            ..Home::config()
        })
        .await;
    wire.set(Mode::Silent);
    let mut asking = Vec::new();
    for number in 0..80 {
        asking.push(ask(&router, &sick[number % sick.len()]));
    }
    let stands = || {
        let stats = cluster_stats(&router, second);
        (stats.connecting, stats.waiting)
    };
    eventually("they hang or wait", async || {
        !router.cluster_stats().is_empty() && stands() == (8, 72)
    })
    .await;
    for round in 0..100 {
        assert!(all_are_served(&router, &well).await, "round {round}");
        if round % 20 == 0 {
            for tenant in &well {
                router.disconnect(tenant.id).await;
            }
        }
    }
    assert_eq!(stands(), (8, 72), "and all the while they hung");
    assert_eq!(wire.taken(), 8, "no more are connecting than may");
    // The server is back: nobody has to ask again.
    wire.set(Mode::Open);
    for task in asking {
        task.await.expect("answered").expect("served");
    }
    router.shutdown().await;
}

/// Tried: with `Breaker::failed` never opening it, each of the requests goes to the server.
pub async fn a_cluster_that_answers_nobody_fails_fast_and_comes_back(home: Home) {
    let (second, wire) = home.second_cluster().await;
    let sick = tenants_on(&home, second, 12).await;
    let well = home.tenants(2).await;
    let router = home
        .router(Config {
            connect_timeout: Duration::from_millis(300),
            ..Home::config()
        })
        .await;
    for mode in [Mode::Silent, Mode::Cut] {
        wire.set(mode);
        let before = wire.taken();
        // All at once: some find out, whoever waits is told with them.
        let asking: Vec<_> = (0..120)
            .map(|n| ask(&router, &sick[n % sick.len()]))
            .collect();
        for task in asking {
            let outcome = task.await.expect("answered");
            let error = outcome.expect_err("there is no server");
            assert_eq!(error.code(), "DATABASE_UNAVAILABLE", "{error:?}");
            assert!(
                error
                    .retry_after()
                    .is_some_and(|after| after.as_secs() >= 1)
            );
        }
        let stats = cluster_stats(&router, second);
        assert_ne!(stats.breaker, BreakerState::Closed, "{mode:?}");
        // From then on they are told without anybody asking the server, but for a look now and then.
        let (mut told, mut looked) = (0, 0);
        for number in 0..600 {
            let tenant = &sick[number % sick.len()];
            let route = resolve(&router, tenant).await.expect("a route");
            match router.acquire(&route).await {
                Err(AcquireError::ServerDown { .. }) => told += 1,
                Err(_) => looked += 1,
                Ok(_) => panic!("there is no server"),
            }
        }
        let asked = wire.taken() - before;
        println!("       {mode:?}: {told} told at once, {looked} looked, {asked} connections made");
        assert!(told > 550, "{mode:?}: {told}");
        assert!(asked < 60, "{mode:?}: {asked} connections for 720 requests");
        assert!(
            all_are_served(&router, &well).await,
            "the others notice nothing"
        );
        wire.set(Mode::Open);
        eventually("somebody finds it back", async || {
            let route = resolve(&router, &sick[0]).await.expect("a route");
            router.acquire(&route).await.is_ok()
        })
        .await;
        let stats = cluster_stats(&router, second);
        assert_eq!(stats.breaker, BreakerState::Closed);
        // One sign of life is enough for everybody: what failed meanwhile was nobody's own fault.
        assert!(
            all_are_served(&router, &sick).await,
            "{mode:?}: all are back with it"
        );
        for tenant in &sick {
            router.disconnect(tenant.id).await;
        }
        eventually("nothing is left open", async || {
            cluster_stats(&router, second).open == 0
        })
        .await;
    }
    assert_eq!(cluster_stats(&router, home.cluster).breaker_opened, 0);
    router.shutdown().await;
}

/// Connections are open and idle when the server stops to answer: the first that is asked is waited
/// for, and nobody has to wait for another.
///
/// Tried: with `Breaker::silent` opening nothing, each tenant waits for its own.
pub async fn a_cluster_that_falls_silent_is_asked_once(home: Home) {
    let (second, wire) = home.second_cluster().await;
    let sick = tenants_on(&home, second, 12).await;
    let well = home.tenants(2).await;
    let router = home
        .router(Config {
            connect_timeout: Duration::from_millis(500),
            ..Home::config()
        })
        .await;
    assert!(all_are_served(&router, &sick).await);
    assert!(all_are_served(&router, &well).await);
    // Idle for so long that they are not handed out unasked.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    wire.set(Mode::Silent);
    let taken = wire.taken();
    let mut outcomes = Vec::new();
    for tenant in &sick {
        let route = resolve(&router, tenant).await.expect("a route");
        outcomes.push(router.acquire(&route).await.map(drop));
    }
    let told = |outcome: &&Result<(), AcquireError>| {
        matches!(outcome, Err(AcquireError::ServerDown { .. }))
    };
    assert!(
        matches!(outcomes[0], Err(AcquireError::Unavailable)),
        "{outcomes:?}"
    );
    assert!(outcomes.iter().filter(told).count() >= 10, "{outcomes:?}");
    assert!(
        wire.taken() - taken <= 4,
        "one looks, and its connection is ended"
    );
    assert_eq!(cluster_stats(&router, second).breaker_opened, 1);
    assert!(
        all_are_served(&router, &well).await,
        "the others notice nothing"
    );
    wire.set(Mode::Open);
    eventually("it is back", async || all_are_served(&router, &sick).await).await;
    assert_eq!(cluster_stats(&router, second).breaker, BreakerState::Closed);
    eventually("no slot is lost", async || {
        let stats = cluster_stats(&router, second);
        stats.leased == 0 && stats.connecting == 0 && stats.open == stats.idle
    })
    .await;
    router.shutdown().await;
}

/// One backend hangs, as behind a firewall that forgot its connection, while others are in use.
///
/// That `give_back` tells the breaker is not what it shows: the others' first connection does too.
///
/// Tried: with `silent` not asking whether others were answered meanwhile, the breaker opens.
pub async fn a_connection_that_died_alone_is_nobody_elses_trouble(home: Home) {
    let tenants = home.tenants(2).await;
    let router = home.router(Home::config()).await;
    let mut dead = conn(&router, &tenants[0]).await;
    let pid = pid(&mut dead).await;
    dead.release();
    let signal = |signal: &str| {
        let sent = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status();
        assert!(sent.expect("run").success(), "{signal}");
    };
    signal("-STOP");
    // Idle for so long that it is not handed out unasked.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let asking = ask(&router, &tenants[0]);
    while !asking.is_finished() {
        assert!(all_are_served(&router, &tenants[1..]).await);
    }
    asking.await.expect("asked").expect("served by another");
    let stats = cluster_stats(&router, home.cluster);
    signal("-CONT");
    assert_eq!(stats.breaker_opened, 0);
    router.shutdown().await;
}

/// Two tenants' databases let nobody in and say nothing. That the server lives is seen by nothing but
/// the answers that a third one's requests get on a connection that is open.
///
/// Tried: with `give_back` telling the breaker nothing, the locked ones close the server for all.
pub async fn answers_on_open_connections_are_signs_of_life(home: Home) {
    let (well, locked) = (home.tenant("well").await, home.tenants(2).await);
    let router = home
        .router(Config {
            connect_timeout: Duration::from_millis(300),
            login_time: Duration::from_secs(1),
            ..Home::config()
        })
        .await;
    conn(&router, &well).await.release();
    let mut server = home.world.connect("postgres", "postgres").await;
    let mut renaming = server.begin().await.expect("begun");
    for tenant in &locked {
        let rename = format!(
            "ALTER DATABASE {} RENAME TO locked_{}",
            tenant.db,
            home.world.number()
        );
        let rename = renaming.execute(sqlx::AssertSqlSafe(rename)).await;
        rename.expect("renamed");
    }
    let taken = home.cluster_wire.taken();
    let serving = {
        let router = router.clone();
        tokio::spawn(async move {
            loop {
                let mut conn = conn(&router, &well).await;
                assert_eq!(whoami(&mut conn).await.expect("asked"), "well");
                conn.release();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let begun = Instant::now();
    while home.cluster_wire.taken() - taken < 8 {
        assert!(begun.elapsed() < Duration::from_secs(60), "tried again");
        for tenant in &locked {
            let route = resolve(&router, tenant).await.expect("a route");
            let outcome = router.acquire(&route).await;
            assert!(
                matches!(outcome, Err(AcquireError::Unavailable)),
                "{outcome:?}"
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!serving.is_finished(), "it is served all the while");
    serving.abort();
    let stats = cluster_stats(&router, home.cluster);
    assert_eq!(stats.breaker_opened, 0, "{stats:?}");
    renaming.rollback().await.expect("undone");
    router.shutdown().await;
}

/// All of one tenant's idle connections hang, as behind a firewall that forgot them, while another
/// tenant is answered. Who asks waits for one of them, and not for each.
///
/// Tried: without `forsake`, none is closed and each is asked, a second for each.
pub async fn beside_a_connection_that_hangs_those_as_old_are_not_asked(home: Home) {
    let tenants = home.tenants(2).await;
    let router = home.router(Home::config()).await;
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(conn(&router, &tenants[0]).await);
    }
    open.into_iter().for_each(TenantConn::release);
    // Idle for so long that they are not handed out unasked.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    home.cluster_wire.strand();
    let asking = ask(&router, &tenants[0]);
    while !asking.is_finished() {
        assert!(all_are_served(&router, &tenants[1..]).await);
    }
    asking.await.expect("asked").expect("served by a new one");
    let stats = cluster_stats(&router, home.cluster);
    assert_eq!(
        (stats.closed_idle, stats.breaker_opened),
        (5, 0),
        "closed, not asked"
    );
    router.shutdown().await;
}

/// Logins that are refused, a database that is gone, one that is another's, and one that lets nobody
/// in and says nothing.
///
/// Tried: with `Breaker::failed` taking one tenant's word, the silent one closes the cluster for all.
pub async fn a_tenants_own_fault_is_not_its_clusters(home: Home) {
    let (refused, gone, swapped, locked) = (
        home.tenant("refused").await,
        home.tenant("gone").await,
        home.tenant("swapped").await,
        home.tenant("locked").await,
    );
    let well = home.tenants(2).await;
    let router = home
        .router(Config {
            connect_timeout: Duration::from_millis(300),
            // For so long an attempt that nobody answers keeps its slot, and of one tenant only four may.
            login_time: Duration::from_secs(1),
            ..Home::config()
        })
        .await;
    let mut admin = home.admin().connect("test").await.expect("in");
    let login = std::slice::from_ref(&refused.logins.router);
    tenantry_cluster::logins::disable(&mut admin, login)
        .await
        .expect("off");
    let mut server = home.world.connect("postgres", "postgres").await;
    let rename = format!(
        "ALTER DATABASE {} RENAME TO gone_{}",
        gone.db,
        home.world.number()
    );
    execute(&mut server, &rename).await;
    let mut inside = home.world.connect("postgres", swapped.db.as_str()).await;
    execute(&mut inside, "UPDATE tenantry_self.identity SET epoch = 9").await;
    inside.close().await.expect("closed");
    // Whoever connects waits for the end of this.
    let rename = format!(
        "ALTER DATABASE {} RENAME TO locked_{}",
        locked.db,
        home.world.number()
    );
    let mut renaming = server.begin().await.expect("begun");
    renaming
        .execute(sqlx::AssertSqlSafe(rename))
        .await
        .expect("renamed");

    for round in 0..12 {
        for tenant in [&refused, &gone, &swapped, &locked, &locked] {
            let route = resolve(&router, tenant).await.expect("a route");
            let outcome = router.acquire(&route).await;
            assert!(
                !matches!(outcome, Ok(_) | Err(AcquireError::ServerDown { .. })),
                "round {round}, {}: {outcome:?}",
                tenant.slug
            );
        }
        assert!(all_are_served(&router, &well).await, "round {round}");
    }
    // Nor when nobody else is answered in between.
    let before = home.cluster_wire.taken();
    let begun = Instant::now();
    while home.cluster_wire.taken() - before < 5 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it is tried again"
        );
        let route = resolve(&router, &locked).await.expect("a route");
        let outcome = router.acquire(&route).await;
        assert!(
            matches!(outcome, Err(AcquireError::Unavailable)),
            "{outcome:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let stats = cluster_stats(&router, home.cluster);
    assert_eq!(stats.breaker_opened, 0, "{stats:?}");
    renaming.rollback().await.expect("undone");
    eventually("it is let in", async || {
        let route = resolve(&router, &locked).await.expect("a route");
        router.acquire(&route).await.is_ok()
    })
    .await;
    router.shutdown().await;
}
