//! One budget over several routers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use tenantry_catalog::shares;
use tenantry_router::{AcquireError, Config, Router};
use tokio::time::Instant;

use crate::home::{Home, Tenant, cluster_stats, conn, eventually, pid, resolve, whoami};
use crate::wire::Mode;
use crate::world::{execute, one};

/// The most connections of any router that were there at a time, as a superuser sees them, looked at
/// without a pause. The first answer comes before anything is done.
struct Watch {
    stop: Arc<AtomicBool>,
    watching: tokio::task::JoinHandle<i64>,
}

impl Watch {
    async fn new(home: &Home, routers: &[&Router]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let names: Vec<_> = routers
            .iter()
            .map(|router| format!("'tenantry/{}'", router.id()))
            .collect();
        let text = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ({})",
            names.join(",")
        );
        let mut conn = home.world.connect("postgres", "postgres").await;
        let over = Arc::clone(&stop);
        let watching = tokio::spawn(async move {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(one::<i64>(&mut conn, &text).await);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            most
        });
        Self { stop, watching }
    }

    async fn most(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.await.expect("watched")
    }
}

async fn tenants(home: &Home, count: usize) -> Arc<Vec<Tenant>> {
    let mut tenants = Vec::new();
    for number in 0..count {
        tenants.push(home.tenant(&format!("t{number}")).await);
    }
    Arc::new(tenants)
}

async fn budget(home: &Home, budget: u32) -> i64 {
    let mut conn = home.conn().await;
    shares::set_budget(&mut conn, home.cluster, budget)
        .await
        .expect("set")
}

fn patient() -> Config {
    Config {
        acquire_wait: Duration::from_secs(60),
        ..Home::config()
    }
}

fn limit(router: &Router) -> usize {
    router.cluster_stats()[0].limit
}

/// Requests from `clients` clients of one router, each for another tenant than the last time.
fn storm(
    router: &Router,
    tenants: &Arc<Vec<Tenant>>,
    clients: usize,
    rounds: usize,
) -> Vec<tokio::task::JoinHandle<()>> {
    let storm = (0..clients).map(|client| {
        let (router, tenants) = (router.clone(), Arc::clone(tenants));
        tokio::spawn(async move {
            for round in 0..rounds {
                let tenant = &tenants[(client * 5 + round * 3) % tenants.len()];
                let mut conn = conn(&router, tenant).await;
                let found = whoami(&mut conn).await.expect("asked");
                assert_eq!(found, tenant.slug.as_str());
                match (client + round) % 4 {
                    0 => drop(conn),
                    _ => conn.release(),
                }
            }
        })
    });
    storm.collect()
}

/// Tried: with each router taking the whole budget for its share, 12 are seen at once.
pub async fn routers_under_a_storm_share_one_budget(home: Home) {
    budget(&home, 6).await;
    let tenants = tenants(&home, 8).await;
    let (a, b) = (home.router(patient()).await, home.router(patient()).await);
    let watch = Watch::new(&home, &[&a, &b]).await;
    // First one alone, then both, then the other one alone.
    for task in storm(&a, &tenants, 16, 6) {
        task.await.expect("every request was served");
    }
    let both = storm(&a, &tenants, 16, 12)
        .into_iter()
        .chain(storm(&b, &tenants, 16, 12));
    for task in both.collect::<Vec<_>>() {
        task.await.expect("every request was served");
    }
    a.shutdown().await;
    for task in storm(&b, &tenants, 16, 6) {
        task.await.expect("every request was served");
    }
    eventually("it has all of it", async || limit(&b) == 6).await;
    let most = watch.most().await;
    assert!((5..=6).contains(&most), "{most} at once");
    assert_eq!(b.stats().unseen_ends, 0);
    b.shutdown().await;
}

/// Tried: with the goal passed over in `Cluster::take`, nothing is given back.
pub async fn what_is_asked_back_comes_as_queries_end_and_holds_up_nothing(home: Home) {
    budget(&home, 5).await;
    let tenants = tenants(&home, 3).await;
    let (a, b) = (home.router(patient()).await, home.router(patient()).await);
    let watch = Watch::new(&home, &[&a, &b]).await;
    let mut held = Vec::new();
    for n in 0..4 {
        held.push(conn(&a, &tenants[n % 2]).await);
    }
    // A fifth waits (one slot is the other router's, whatever happens), so that more is wanted than there is.
    let waiting = {
        let (a, tenants) = (a.clone(), Arc::clone(&tenants));
        tokio::spawn(async move { conn(&a, &tenants[0]).await.release() })
    };
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let (b, tenants) = (b.clone(), Arc::clone(&tenants));
            tokio::spawn(async move { conn(&b, &tenants[2]).await })
        })
        .collect();
    eventually("it was told to give back", async || limit(&a) == 3).await;
    // The acknowledgement waits for no query, nor does a change of a tenant.
    let number = home
        .change(&tenants[2], tenantry_catalog::change_log::Kind::Updated)
        .await;
    eventually("all have applied it", async || {
        home.behind(number).await.is_empty()
    })
    .await;
    assert_eq!(b.stats().leased, 1, "nothing more is free yet");
    for conn in &mut held {
        pid(conn).await;
    }
    // What comes back goes over to the other one.
    held.truncate(3);
    eventually("it is handed over", async || b.stats().leased == 2).await;
    assert_eq!(a.stats().leased, 3);
    for conn in &mut held {
        whoami(conn).await.expect("never cut");
    }
    drop(held);
    waiting.await.expect("served");
    for task in asking {
        task.await.expect("served").release();
    }
    assert_eq!(watch.most().await, 5);
    a.shutdown().await;
    b.shutdown().await;
}

/// Tried: with the goal passed over in `Cluster::take`, the lower budget closes nothing.
pub async fn a_budget_is_lowered_and_raised_while_it_is_used(home: Home) {
    budget(&home, 8).await;
    let tenants = tenants(&home, 8).await;
    let router = home.router(patient()).await;
    // What is merely kept ready is reason enough to ask for more, while nobody else wants it.
    eventually("it has all of it", async || {
        for tenant in tenants.iter() {
            conn(&router, tenant).await.release();
        }
        router.stats().open == 8
    })
    .await;
    let number = budget(&home, 3).await;
    eventually("applied", async || home.behind(number).await.is_empty()).await;
    eventually("idle ones beyond it are closed", async || {
        home.connections(&router).await == 3
    })
    .await;
    assert_eq!((limit(&router), router.cluster_stats()[0].budget), (3, 3));
    let watch = Watch::new(&home, &[&router]).await;
    for task in storm(&router, &tenants, 8, 4) {
        task.await.expect("served");
    }
    assert_eq!(watch.most().await, 3);
    budget(&home, 6).await;
    for task in storm(&router, &tenants, 8, 4) {
        task.await.expect("served");
    }
    assert_eq!(limit(&router), 6);
    router.shutdown().await;
}

/// Of each cluster the catalog is told when there is something to tell, and is not asked for the others.
///
/// Tried: with every renewal about all clusters, the quiet one is reported with the busy one.
pub async fn who_wants_slots_of_one_cluster_reports_no_other(home: Home) {
    let (second, _wire) = home.second_cluster().await;
    budget(&home, 6).await;
    let (busy, quiet) = (
        tenants(&home, 6).await,
        home.tenant_on(second, "quiet").await,
    );
    let router = home.router(patient()).await;
    conn(&router, &quiet).await.release();
    let mut catalog = home.conn().await;
    let number = async |catalog: &mut PgConnection, cluster| -> i64 {
        let text = format!("SELECT report FROM budget_shares WHERE cluster_id = '{cluster}'");
        one(catalog, &text).await
    };
    let mut before = number(&mut catalog, second).await;
    let main = number(&mut catalog, home.cluster).await;
    // Each but the first few needs one slot more, which must be asked for.
    let mut held = Vec::new();
    for tenant in busy.iter() {
        held.push(conn(&router, tenant).await);
    }
    assert!(number(&mut catalog, home.cluster).await > main, "asked for");
    // What was opened there is told with whatever comes next, once.
    let told = number(&mut catalog, second).await;
    if told > before {
        before = told;
        held.clear();
        budget(&home, 5).await;
        let limit = async || cluster_stats(&router, home.cluster).limit == 5;
        eventually("the budget is lowered", limit).await;
    }
    assert_eq!(number(&mut catalog, second).await, before);
    router.shutdown().await;
}

/// Tried: with each router taking the whole budget for its share, 8 are seen at once.
pub async fn more_routers_than_slots_are_all_served_by_turns(home: Home) {
    budget(&home, 2).await;
    let tenants = tenants(&home, 2).await;
    let mut routers = Vec::new();
    for _ in 0..4 {
        routers.push(home.router(patient()).await);
    }
    let watch = Watch::new(&home, &routers.iter().collect::<Vec<_>>()).await;
    let mut all = Vec::new();
    for router in &routers {
        all.extend(storm(router, &tenants, 3, 4));
    }
    for task in all {
        task.await.expect("every request was served");
    }
    assert_eq!(watch.most().await, 2);
    for router in routers {
        router.shutdown().await;
    }
}

/// As somebody who ends a dead router's sessions would.
async fn end_all(home: &Home, router: &Router) {
    let mut conn = home.world.connect("postgres", "postgres").await;
    execute(
        &mut conn,
        &format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE application_name = 'tenantry/{}'",
            router.id()
        ),
    )
    .await;
}

async fn end_lease(conn: &mut PgConnection, router: &Router) {
    let text = "UPDATE routers SET lease_until = clock_timestamp()";
    execute(conn, &format!("{text} WHERE id = '{}'", router.id())).await;
}

/// Tried: with `is_lost` always false, the connections of the lost share are handed out again.
pub async fn a_share_that_was_lost_takes_its_connections_along(home: Home) {
    budget(&home, 4).await;
    let tenant = home.tenant("acme").await;
    let config = Config {
        lease: Duration::from_millis(900),
        away: Duration::ZERO,
        ..patient()
    };
    let (a, b) = (home.router(config).await, home.router(patient()).await);
    let mut kept = conn(&a, &tenant).await;
    conn(&a, &tenant).await.release();
    home.catalog_wire.set(Mode::Silent);
    let mut catalog = home.conn().await;
    end_lease(&mut catalog, &a).await;
    // It is taken away while a connection lives on, which a reaper would never do: so that it shows
    // whether the router itself lets it go.
    let orphans = shares::orphans(&mut catalog).await.expect("read");
    let orphan = orphans
        .iter()
        .find(|orphan| orphan.router == a.id())
        .expect("dead");
    assert!(
        shares::reap(&mut catalog, orphan, false)
            .await
            .expect("reaped")
    );
    eventually("nothing is handed out", async || {
        let route = resolve(&a, &tenant).await;
        route.is_err()
    })
    .await;
    let before = pid(&mut kept).await;
    home.catalog_wire.set(Mode::Open);
    eventually("it has registered", async || a.stats().lease_ok).await;
    kept.release();
    eventually("all of before is closed", async || a.stats().open == 0).await;
    let mut conn = conn(&a, &tenant).await;
    assert_ne!(pid(&mut conn).await, before);
    conn.release();
    a.shutdown().await;
    b.shutdown().await;
}

/// The share is taken away while a request waits for its connection to say that it is alive. It is, but
/// it counts in no share any more.
///
/// Tried: without the look at `is_lost` in `acquire_uncounted`, it is handed out.
pub async fn a_connection_whose_share_was_lost_meanwhile_is_not_handed_out(home: Home) {
    budget(&home, 4).await;
    let (acme, other) = (home.tenant("acme").await, home.tenant("other").await);
    let config = Config {
        lease: Duration::from_millis(900),
        ..patient()
    };
    let router = home.router(config).await;
    let mut first = conn(&router, &acme).await;
    let before = pid(&mut first).await;
    first.release();
    conn(&router, &other).await.release();
    // Idle for so long that it is not handed out unasked.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    home.cluster_wire.set(Mode::Silent);
    let asking = {
        let router = router.clone();
        tokio::spawn(async move {
            let mut conn = conn(&router, &acme).await;
            pid(&mut conn).await
        })
    };
    eventually("it is asked", async || router.stats().leased == 1).await;
    let taken_away = "UPDATE budget_shares SET reaped_at = clock_timestamp()";
    execute(&mut home.conn().await, taken_away).await;
    eventually("the router knows", async || router.stats().idle == 0).await;
    home.cluster_wire.set(Mode::Open);
    assert_ne!(asking.await.expect("served"), before);
    router.shutdown().await;
}

/// The share is taken away while a request with a slot of it waits for what lets it log in without the
/// catalog. That comes, but there is no room for the login any more.
///
/// Tried: without the look at `is_lost` in `opened`, there are two logins.
pub async fn a_slot_whose_share_was_lost_meanwhile_is_not_used(home: Home) {
    budget(&home, 4).await;
    let (warm, cold) = (home.tenant("warm").await, home.tenant("cold").await);
    let config = Config {
        lease: Duration::from_millis(600),
        ..patient()
    };
    let router = home.router(config).await;
    resolve(&router, &cold).await.expect("known");
    conn(&router, &warm).await.release();
    home.catalog_wire.set(Mode::Silent);
    let mut catalog = home.conn().await;
    end_lease(&mut catalog, &router).await;
    let orphans = shares::orphans(&mut catalog).await.expect("read");
    let reaped = shares::reap(&mut catalog, &orphans[0], false).await;
    assert!(reaped.expect("asked"), "its connection was left alone");
    eventually("the catalog is away", async || router.stats().away).await;
    // The connection that shows that nothing was taken away is asked, as far as it knows rightly.
    home.cluster_wire.set(Mode::Silent);
    let taken = home.cluster_wire.taken();
    let asking = {
        let (router, cold) = (router.clone(), cold.clone());
        tokio::spawn(async move { conn(&router, &cold).await })
    };
    eventually("it is asked", async || router.stats().leased == 1).await;
    home.catalog_wire.set(Mode::Open);
    eventually("the router knows", async || router.stats().lease_ok).await;
    home.cluster_wire.set(Mode::Open);
    let conn = asking.await.expect("served");
    let logins = home.cluster_wire.taken() - taken;
    assert_eq!(logins, 1, "the one of the new share");
    conn.release();
    router.shutdown().await;
}

/// How many of the catalog's sessions wait for a lock.
pub async fn waits(home: &Home) -> i64 {
    let text = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
    one(&mut home.conn().await, text).await
}

/// A share was reaped, and the catalog cannot say so: the cluster is locked when the router is back.
///
/// Tried: with the catalog giving the lease and no share, and `Exchanged::settled` always good, the gate
/// opens on the limit of before.
pub async fn a_lost_lease_hands_out_nothing_before_its_shares_are_known(home: Home) {
    budget(&home, 4).await;
    let tenant = home.tenant("acme").await;
    let config = Config {
        // A third of it is longer than the catalog waits for a lock.
        lease: Duration::from_millis(2400),
        away: Duration::ZERO,
        ..patient()
    };
    let router = home.router(config).await;
    conn(&router, &tenant).await.release();
    home.catalog_wire.set(Mode::Silent);
    let mut catalog = home.conn().await;
    end_lease(&mut catalog, &router).await;
    let orphans = shares::orphans(&mut catalog).await.expect("read");
    assert!(
        shares::reap(&mut catalog, &orphans[0], false)
            .await
            .expect("reaped")
    );
    eventually("nothing is handed out", async || {
        resolve(&router, &tenant).await.is_err()
    })
    .await;
    let mut other = home.conn().await;
    execute(&mut other, "BEGIN; SELECT FROM clusters FOR UPDATE").await;
    home.catalog_wire.set(Mode::Open);
    for _ in 0..2 {
        eventually("a renewal waits", async || waits(&home).await > 0).await;
        eventually("it is answered", async || waits(&home).await == 0).await;
        assert!(!router.stats().lease_ok);
    }
    execute(&mut other, "ROLLBACK").await;
    eventually("it has its lease", async || router.stats().lease_ok).await;
    eventually("all of before is closed", async || router.stats().open == 0).await;
    conn(&router, &tenant).await.release();
    router.shutdown().await;
}

/// Tried: with `may_open` always true, the router connects though its share may be another's.
pub async fn without_the_catalog_nothing_is_opened_on_a_share_that_may_be_gone(home: Home) {
    let (warm, cold, third) = (
        home.tenant("warm").await,
        home.tenant("cold").await,
        home.tenant("third").await,
    );
    let config = Config {
        lease: Duration::from_millis(900),
        ..Home::config()
    };
    let router = home.router(config).await;
    for tenant in [&cold, &third] {
        resolve(&router, tenant).await.expect("known");
    }
    conn(&router, &warm).await.release();
    home.catalog_wire.set(Mode::Cut);
    eventually("the catalog is away", async || router.stats().away).await;
    // One of its connections answers: it has not been given up.
    conn(&router, &cold).await.release();
    assert_eq!(router.stats().open, 2);
    // All of them are ended: its slots may be others' by now.
    end_all(&home, &router).await;
    let route = resolve(&router, &third).await.expect("known");
    let asked = Instant::now();
    let outcome = router.acquire(&route).await;
    assert!(
        matches!(outcome, Err(AcquireError::Unavailable)),
        "{outcome:?}"
    );
    assert!(asked.elapsed() < Duration::from_secs(3));
    assert_eq!(home.connections(&router).await, 0);
    home.catalog_wire.set(Mode::Open);
    eventually("it is back", async || router.acquire(&route).await.is_ok()).await;
    router.shutdown().await;
}

/// A reaper ends what it sees, and not what was in the middle of its login. That one shows nothing.
///
/// Tried: with `witness` set without a look at the lease, the third tenant's connection is opened.
pub async fn a_login_that_outlived_a_reaper_lets_nothing_more_be_opened(home: Home) {
    let (warm, late, third) = (
        home.tenant("warm").await,
        home.tenant("late").await,
        home.tenant("third").await,
    );
    let config = Config {
        lease: Duration::from_millis(900),
        idle: Duration::from_millis(300),
        ..Home::config()
    };
    let router = home.router(config).await;
    for tenant in [&late, &third] {
        resolve(&router, tenant).await.expect("known");
    }
    conn(&router, &warm).await.release();
    home.catalog_wire.set(Mode::Cut);
    eventually("the catalog is away", async || router.stats().away).await;
    conn(&router, &late).await.release();
    // The sweep keeps the one that shows something, though it is the older one.
    eventually("the other is closed", async || router.stats().open == 1).await;
    let mut late = conn(&router, &late).await;
    let mut server = home.world.connect("postgres", "postgres").await;
    execute(
        &mut server,
        &format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE application_name = 'tenantry/{}' AND datname = '{}'",
            router.id(),
            warm.db.as_str()
        ),
    )
    .await;
    whoami(&mut late).await.expect("it was not seen");
    late.release();
    let route = resolve(&router, &third).await.expect("known");
    let outcome = router.acquire(&route).await;
    assert!(
        matches!(outcome, Err(AcquireError::Unavailable)),
        "{outcome:?}"
    );
    home.catalog_wire.set(Mode::Open);
    eventually("it is back", async || router.acquire(&route).await.is_ok()).await;
    router.shutdown().await;
}

/// Tried: with `Cluster::sweep` closing the last one as well.
pub async fn the_newest_idle_connection_of_a_cluster_is_kept(home: Home) {
    let tenants = tenants(&home, 3).await;
    let config = Config {
        idle: Duration::from_millis(200),
        ..Home::config()
    };
    let router = home.router(config).await;
    for tenant in tenants.iter() {
        conn(&router, tenant).await.release();
    }
    eventually("the others are closed", async || router.stats().open == 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(home.connections(&router).await, 1);
    router.shutdown().await;
}
