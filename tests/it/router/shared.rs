//! Two servers, one cluster, one budget: under a storm, when one is killed, and when one is frozen

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use sqlx::{PgConnection, Row};
use tenantry_testkit::{Client, Dev, Pg, Serve};

use crate::wait;

const BUDGET: i64 = 6;
const POOLED: &str = "SELECT count(*) FROM pg_stat_activity
     WHERE application_name ~ '^tenantry/[0-9a-f-]{36}$' AND datname LIKE 'tenant%'";

/// The most pooled connections that a superuser saw at a time, looking without a pause.
struct Watch {
    stop: Arc<AtomicBool>,
    watching: tokio::task::JoinHandle<i64>,
}

impl Watch {
    async fn new(pg: &Pg) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut conn, over) = (pg.enter("postgres").await, Arc::clone(&stop));
        let watching = tokio::spawn(async move {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                let row = sqlx::query(POOLED)
                    .fetch_one(&mut conn)
                    .await
                    .expect("counted");
                most = most.max(row.get::<i64, _>(0));
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

/// Requests without an end from some clients; counts those that were served.
struct Storm {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Storm {
    fn of(tenants: &[Client], clients: usize) -> Self {
        let (stop, served) = (Arc::default(), Arc::default());
        let clients = (0..clients).map(|n| {
            let tenants = tenants.to_vec();
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut turn = n;
                while !AtomicBool::load(&stop, Ordering::Relaxed) {
                    turn += 1;
                    let client = &tenants[turn % tenants.len()];
                    // A server that was killed or is frozen gives no answer.
                    if let Some(answer) = client.request(Method::GET, "/users").try_send().await {
                        assert!(matches!(answer.status, 200 | 503), "{answer}");
                        if answer.status == 200 {
                            AtomicUsize::fetch_add(&served, 1, Ordering::Relaxed);
                        }
                    } else {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("nothing but 200 and 503");
        }
    }
}

struct Two {
    dev: Dev,
    serve: Serve,
    here: Vec<Client>,
    there: Vec<Client>,
}

/// `tenantry dev` and a `tenantry serve` on its catalog, a small budget, and a few tenants.
async fn two() -> Two {
    let dev = Dev::start();
    let pg = dev.pg();
    // So that a test need not wait for the default of a minute.
    pg.run("postgres", "ALTER SYSTEM SET authentication_timeout = '3s'")
        .await;
    pg.run("postgres", "SELECT pg_reload_conf()").await;
    let serve = Serve::join(&dev, "second", &[]);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for n in 0..4 {
        let tenant = dev.tenant(&format!("t{n}")).await;
        there.push(serve.at(&tenant.slug).bearer(tenant.admin.token()));
        here.push(tenant.admin);
    }
    set_budget(&dev, BUDGET).await;
    wait::until(Duration::from_secs(20), "the budget holds", async || {
        pg.texts(
            "postgres",
            &POOLED.replacen("count(*)", "count(*)::text", 1),
        )
        .await
        .iter()
        .all(|open| open.parse::<i64>().is_ok_and(|open| open <= BUDGET))
    })
    .await;
    Two {
        dev,
        serve,
        here,
        there,
    }
}

async fn set_budget(dev: &Dev, budget: i64) {
    let name = name(dev).await;
    let path = format!("/setup/clusters/{name}");
    let body = json!({ "connectionBudget": budget });
    let answer = dev.operator().patch(&path, body).await.expect(200);
    assert_eq!(answer["connectionBudget"], budget);
}

async fn name(dev: &Dev) -> String {
    let all = dev.operator().get("/setup/clusters").await.expect(200);
    all["items"][0]["name"].as_str().expect("a name").to_owned()
}

/// This router's share, and the whole budget.
async fn share(dev: &Dev) -> (f64, f64) {
    let metrics = dev.metrics().await;
    (
        metrics.sum("tenantry_router_budget_limit_connections", &[]),
        metrics.sum("tenantry_cluster_budget_connections", &[]),
    )
}

/// Tried: with each router taking the whole budget for its share, more than the budget are open.
#[tokio::test]
async fn a_killed_servers_share_goes_to_the_other_and_never_twice() {
    let mut two = two().await;
    let watch = Watch::new(&two.dev.pg()).await;
    let (a, b) = (Storm::of(&two.here, 8), Storm::of(&two.there, 8));
    wait::until(Duration::from_secs(60), "both serve", async || {
        a.served() > 100 && b.served() > 100
    })
    .await;
    let listed = two.dev.operator().get("/setup/clusters").await.expect(200);
    let open = listed["items"][0]["open"].as_i64().expect("a number");
    assert!((1..=BUDGET).contains(&open), "{listed}");
    two.serve.process().kill9();
    let all = BUDGET as f64;
    wait::until(Duration::from_secs(60), "it has all of it", async || {
        share(&two.dev).await == (all, all)
    })
    .await;
    let before = a.served();
    wait::until(Duration::from_secs(20), "it goes on", async || {
        a.served() > before + 100
    })
    .await;
    a.end().await;
    b.end().await;
    let most = watch.most().await;
    assert!((BUDGET - 1..=BUDGET).contains(&most), "{most} at once");
}

/// Tried: with a reaper that frees and ends nothing, seven are seen at once.
#[tokio::test]
async fn a_frozen_servers_share_is_given_away_after_its_connections_are_gone() {
    let mut two = two().await;
    let pg = two.dev.pg();
    let watch = Watch::new(&pg).await;
    let (a, b) = (Storm::of(&two.here, 8), Storm::of(&two.there, 8));
    wait::until(Duration::from_secs(60), "both serve", async || {
        a.served() > 100 && b.served() > 100
    })
    .await;
    two.serve.process().signal(Signal::STOP);
    let all = BUDGET as f64;
    wait::until(
        Duration::from_secs(60),
        "the other has all of it",
        async || share(&two.dev).await == (all, all),
    )
    .await;
    // It wakes up with connections that are gone and a share that is another's.
    let before = b.served();
    two.serve.process().signal(Signal::CONT);
    wait::until(
        Duration::from_secs(60),
        "it serves on a new share",
        async || b.served() > before + 50,
    )
    .await;
    assert!(share(&two.dev).await.0 < all, "shared again");
    a.end().await;
    b.end().await;
    let most = watch.most().await;
    assert!((BUDGET - 1..=BUDGET).contains(&most), "{most} at once");
}

/// While the catalog is away all leases end. When it is back, one server renews its own at once, and the
/// other is too slow to: that is no reason to take its share, or to end what it has open.
///
/// Tried: with routers ended at the first look that finds their lease ended, the sleeper's connection is.
#[tokio::test]
async fn the_outage_of_the_catalog_frees_nobodys_share() {
    let mut two = two().await;
    let pg = two.dev.pg();
    let tenants = [&two.here[0], &two.there[0]];
    for tenant in tenants {
        tenant.get("/users").await.expect(200);
    }
    // Of this tenant alone: of the others' the servers may close some for one another.
    let pooled = POOLED.replacen("count(*)", "application_name || ' ' || pid", 1);
    let pooled = pooled.replacen("'tenant%'", "'tenant_t0%'", 1) + " ORDER BY 1";
    let before = pg.texts("postgres", &pooled).await;
    let routers: HashSet<&str> = before.iter().map(|one| &one[..45]).collect();
    assert_eq!(routers.len(), 2, "{before:?}");

    // A session of before goes on seeing what nobody else reaches.
    let (mut catalog, name) = (pg.enter(&pg.catalog).await, &pg.catalog);
    let allow = |open: bool| format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {open}");
    pg.run("postgres", &allow(false)).await;
    two.serve.process().signal(Signal::STOP);
    let own: i32 = one(&mut catalog, "SELECT pg_backend_pid()").await;
    let others = format!("datname = '{name}' AND pid <> {own}");
    let end =
        format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}");
    pg.run("postgres", &end).await;
    wait::until(Duration::from_secs(30), "all leases end", async || {
        let ended = "SELECT bool_and(lease_until < clock_timestamp() - interval '3s') FROM routers";
        one::<bool>(&mut catalog, ended).await
    })
    .await;
    pg.run("postgres", &allow(true)).await;
    wait::until(Duration::from_secs(30), "ready again", async || {
        two.dev.base().get("/readyz").await.status == 200
    })
    .await;
    // Time enough for whoever looks for dead routers to find the one that is still asleep.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let ended = one::<i64>(
        &mut catalog,
        "SELECT count(*) FROM routers WHERE lease_until < clock_timestamp()",
    );
    assert_eq!(ended.await, 1, "it looks dead");
    two.serve.process().signal(Signal::CONT);
    for tenant in tenants {
        wait::until(Duration::from_secs(30), "served again", async || {
            tenant.get("/users").await.status == 200
        })
        .await;
    }
    let after = pg.texts("postgres", &pooled).await;
    let ended: Vec<_> = before.iter().filter(|one| !after.contains(one)).collect();
    assert!(ended.is_empty(), "{ended:?} were ended");
    assert!(!two.dev.log().contains("share of the budget was freed"));
}

async fn one<T>(conn: &mut PgConnection, query: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let row = sqlx::query(query).fetch_one(conn).await.expect(query);
    row.get(0)
}

/// Tried: with the call setting nothing, the router never knows; without the line for the audit.
#[tokio::test]
async fn a_budget_is_changed_by_who_may() {
    let dev = Dev::start();
    let name = name(&dev).await;
    let operator = dev.operator();
    let path = format!("/setup/clusters/{name}");
    let empty = operator.patch(&path, json!({})).await;
    assert_eq!(empty.wrong_fields(), [""], "nothing to change");
    for wrong in [
        json!({ "connectionBudget": 0 }),
        json!({ "connectionBudget": "9" }),
        json!({ "connectionBudget": 9, "name": "other" }),
    ] {
        operator
            .patch(&path, wrong)
            .await
            .problem(422, "VALIDATION_FAILED");
    }
    operator
        .patch("/setup/clusters/none", json!({ "connectionBudget": 9 }))
        .await
        .problem(404, "CLUSTER_NOT_FOUND");
    dev.base()
        .patch(&path, json!({ "connectionBudget": 9 }))
        .await
        .problem(401, "UNAUTHENTICATED");
    let id = operator.get("/setup/clusters").await.expect(200)["items"][0]["clusterId"].clone();
    let by_id = format!("/setup/clusters/{}", id.as_str().expect("an id"));
    let changed = operator
        .patch(&by_id, json!({ "connectionBudget": 9 }))
        .await
        .expect(200);
    assert_eq!(changed["connectionBudget"], 9);
    wait::until(Duration::from_secs(20), "the router knows", async || {
        share(&dev).await == (7.0, 9.0) || share(&dev).await == (9.0, 9.0)
    })
    .await;
    let pg = dev.pg();
    let told =
        "SELECT detail->'to'->>'connectionBudget' FROM audit WHERE action = 'cluster.set_budget'";
    assert_eq!(pg.texts(&pg.catalog, told).await, ["9"]);
}

/// Tried: with nothing asked, the one too many is taken; with a server that cannot be asked taken for one
/// without room, the change is refused.
#[tokio::test]
async fn a_budget_is_no_larger_than_what_the_server_has_room_for() {
    let dev = Dev::start();
    let (operator, pg) = (dev.operator(), dev.pg());
    let path = format!("/setup/clusters/{}", name(&dev).await);
    let free = "SELECT (current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int)::text";
    let free: u32 = pg.texts("postgres", free).await[0].parse().expect("free");
    let largest = free - (free / 4).max(30).min(free / 2);
    let set = async |budget: u32| {
        let body = json!({ "connectionBudget": budget });
        operator.patch(&path, body).await
    };
    set(largest - 1).await.expect(200);
    let refused = set(largest + 1).await;
    let told = refused.problem(422, "BUDGET_TOO_LARGE");
    let detail = told["detail"].as_str().expect("a text");
    assert!(
        detail.contains(&format!("can be {largest} at most")),
        "{told}"
    );
    let shown = async || {
        let all = operator.get("/setup/clusters").await.expect(200);
        all["items"][0]["connectionBudget"].clone()
    };
    assert_eq!(shown().await, largest - 1, "nothing was changed");
    set(largest).await.expect(200);

    // One that was given before, or on a server that was smaller since: less is better.
    let budget = format!("UPDATE clusters SET connection_budget = {}", largest + 9);
    pg.run(&pg.catalog, &budget).await;
    set(largest + 8).await.expect(200);

    // A server that says nothing, and none at all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    for (port, budget) in [(port, largest + 20), (1, largest + 21)] {
        let away = format!("UPDATE clusters SET host = '127.0.0.1', port = {port}");
        pg.run(&pg.catalog, &away).await;
        set(budget).await.expect(200);
        assert_eq!(shown().await, budget);
    }
    let warnings = dev
        .log()
        .matches("has room for the budget is not known")
        .count();
    assert_eq!(warnings, 2);
}
