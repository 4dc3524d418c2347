//! A tenant's place changes under running queries, and a row of the change log says so.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{Executor, PgConnection};
use tenantry_catalog::change_log::{self, Kind};
use tenantry_catalog::logins::{self, LoginRole};
use tenantry_router::{Config, Router};
use tenantry_types::{ClusterId, Secret, TenantId};
use tenantry_vault::scram;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::home::{Home, Tenant, cluster_stats, conn, eventually, resolve, whoami};
use crate::wire::Wire;
use crate::world::{World, execute, one, start};

/// Long enough for all that must happen before it.
const DEADLINE: Duration = Duration::from_secs(4);

/// A session, told apart from those of another server.
async fn session(conn: &mut PgConnection) -> (i32, i32) {
    let both: String = one(conn, "SELECT inet_server_port() || '/' || pg_backend_pid()").await;
    let (port, pid) = both.split_once('/').expect("two numbers");
    (port.parse().expect("a port"), pid.parse().expect("a pid"))
}

/// Sessions of the former place. No more are noted from the moment the change begins.
#[derive(Default)]
struct Former {
    sessions: HashSet<(i32, i32)>,
    complete: bool,
}

/// Clients that ask for the tenant without a pause. Each of their requests is served; one that began
/// when the change was known to the router is served by the new place.
struct Clients {
    former: Arc<Mutex<Former>>,
    applied: Arc<AtomicBool>,
    /// Requests that began after it and were served.
    anew: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    fn of(router: &Router, tenant: &Tenant, then: &'static str) -> Self {
        let mut clients = Self {
            former: Arc::default(),
            applied: Arc::default(),
            anew: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        for _ in 0..3 {
            let (router, tenant) = (router.clone(), tenant.clone());
            let (former, applied) = (Arc::clone(&clients.former), Arc::clone(&clients.applied));
            let (anew, stop) = (Arc::clone(&clients.anew), Arc::clone(&clients.stop));
            clients.tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let after = applied.load(Ordering::Acquire);
                    let mut conn = conn(&router, &tenant).await;
                    let session = session(&mut conn).await;
                    let found = whoami(&mut conn).await.expect("asked");
                    if after {
                        let known = former.lock().expect("unharmed").sessions.contains(&session);
                        assert!(!known, "of the former place");
                        assert_eq!(found, then);
                        anew.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let mut former = former.lock().expect("unharmed");
                        if !former.complete {
                            former.sessions.insert(session);
                        }
                    }
                    conn.release();
                }
            }));
        }
        clients
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("each request was served, and rightly");
        }
    }
}

fn patient() -> Config {
    Config {
        drain_deadline: DEADLINE,
        ..Home::config()
    }
}

/// Connections of the router's on the home's server, of those with one of the process ids.
async fn alive(home: &Home, router: &Router, pids: &[i32]) -> i64 {
    let mut conn = home.world.connect("postgres", "postgres").await;
    let text = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE application_name = 'tenantry/{}' AND pid = ANY (ARRAY{pids:?})",
        router.id()
    );
    one(&mut conn, &text).await
}

/// Changes the tenant's place while it has a query of each sort under way, and clients come all the
/// time. `then` is what the database of the new place says of itself.
async fn takes_over(
    home: &Home,
    router: &Router,
    tenant: &Tenant,
    then: &'static str,
    change: impl AsyncFnOnce() -> i64,
) {
    let mut gate = home.world.connect("postgres", tenant.db.as_str()).await;
    execute(&mut gate, "SELECT pg_advisory_lock(43)").await;
    let (mut long, mut short) = (conn(router, tenant).await, conn(router, tenant).await);
    let busy = [session(&mut long).await, session(&mut short).await];
    let mut idle = conn(router, tenant).await;
    let idle_session = session(&mut idle).await;
    idle.release();
    let long = tokio::spawn(async move {
        let outcome = long.execute("SELECT pg_sleep(600)").await;
        (outcome.map(drop), Instant::now())
    });
    let short = tokio::spawn(async move {
        let query = "SELECT pg_advisory_lock_shared(43); SELECT pg_advisory_unlock_shared(43)";
        let outcome = short.execute(query).await.map(drop);
        short.release();
        outcome
    });
    let clients = Clients::of(router, tenant, then);
    eventually("clients come", async || {
        clients.former.lock().expect("unharmed").sessions.len() >= 3
    })
    .await;

    let former: Vec<i32> = {
        let mut former = clients.former.lock().expect("unharmed");
        former.complete = true;
        former.sessions.extend(busy);
        former.sessions.insert(idle_session);
        former.sessions.iter().map(|(_, pid)| *pid).collect()
    };
    let begun = Instant::now();
    let number = change().await;
    timeout(Duration::from_secs(3), router.wait_applied(number))
        .await
        .expect("applied, and not only after the drain");
    clients.applied.store(true, Ordering::Release);
    eventually("new requests are served", async || {
        clients.anew.load(Ordering::Relaxed) > 10
    })
    .await;
    eventually("what is not in use is gone", async || {
        alive(home, router, &former).await == 2
    })
    .await;
    assert_eq!(home.behind(number).await, [router.id()], "both go on");
    assert!(!short.is_finished(), "it waits for the gate");

    execute(&mut gate, "SELECT pg_advisory_unlock(43)").await;
    short
        .await
        .expect("not cancelled")
        .expect("a short query is not cut");
    eventually("its connection is not kept", async || {
        alive(home, router, &former).await == 1
    })
    .await;
    assert!(router.stats().acked < number, "the long one goes on");

    let (outcome, at) = timeout(Duration::from_secs(60), long)
        .await
        .expect("not forever")
        .expect("not cancelled");
    // By the router, and not by the time limit of a statement.
    let error = outcome.expect_err("a long query is ended");
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("57P01"), "{error}");
    let after = at.duration_since(begun);
    assert!(after >= DEADLINE, "not before the deadline: {after:?}");
    router.wait_drained(number).await;
    assert_eq!(alive(home, router, &former).await, 0);
    eventually("others are told", async || {
        home.behind(number).await.is_empty()
    })
    .await;
    clients.end().await;
    let stats = router.stats();
    assert_eq!((stats.wrong_database, stats.unseen_ends), (0, 0));
}

/// Writes into the catalog what makes the tenant's place another one, with the row of the change log.
async fn announce(
    home: &Home,
    tenant: TenantId,
    write: impl AsyncFnOnce(&mut PgConnection),
) -> i64 {
    let mut catalog = home.conn().await;
    execute(&mut catalog, "BEGIN").await;
    write(&mut catalog).await;
    let number = change_log::append(&mut catalog, tenant, Kind::Updated)
        .await
        .expect("a change");
    execute(&mut catalog, "COMMIT").await;
    number
}

/// Tried: with the password left out of what makes two places the same, new requests get the former
/// sessions; without `newest` in `Closer::log_in`, the long query goes on until its statement's own
/// time limit, the change acknowledged meanwhile. And as with the other two, with `Drain::Soft` for
/// all, or `Updated` passed over in `settle`: it is acknowledged at once.
pub async fn a_new_password_takes_over_from_connections_with_the_old_one(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(patient()).await;
    takes_over(&home, &router, &tenant, "acme", async || {
        let password = Secret::new("another");
        let sealed = home.seal(&tenant, &password);
        announce(&home, tenant.id, async |catalog| {
            logins::set_secret(catalog, tenant.database, LoginRole::Router, &sealed)
                .await
                .expect("stored");
            // The old one opens nothing from here on; what is open stays open.
            let verifier = scram::verifier(&password, home.entropy.bytes(), 1);
            let mut admin = home.admin().connect("test").await.expect("in");
            let login = &tenant.logins.router;
            tenantry_cluster::logins::set_password(&mut admin, login, &verifier, &tenant.mark)
                .await
                .expect("changed");
        })
        .await
    })
    .await;
    router.shutdown().await;
}

/// Tried: with the epoch left out of what makes two places the same, new requests get the former
/// sessions.
pub async fn a_higher_epoch_takes_over_from_connections_of_the_lower_one(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(patient()).await;
    takes_over(&home, &router, &tenant, "acme", async || {
        announce(&home, tenant.id, async |catalog| {
            let raise = format!("UPDATE tenants SET epoch = 2 WHERE id = '{}'", tenant.id);
            execute(catalog, &raise).await;
            home.set_epoch(&home.admin(), tenant.database, &tenant.db, 2)
                .await;
        })
        .await
    })
    .await;
    let route = resolve(&router, &tenant).await.expect("a route");
    assert_eq!(route.epoch(), 2);
    router.shutdown().await;
}

/// Tried: with any two places taken for the same, new requests get the former sessions.
pub async fn a_move_to_another_server_takes_over_from_connections_to_the_former_one(home: Home) {
    let (server, _folder) = start(|_| {}).await;
    let second_world = World::new(server.port()).await;
    let wire = Wire::to(server.port()).await;
    let second = ClusterId::generate(&home.clock, &home.entropy);
    home.insert_cluster(second, "second", wire.port).await;

    let tenant = home.tenant("acme").await;
    let router = home.router(patient()).await;
    let moved = home.database_in(&second_world, "moved", 2).await;
    takes_over(&home, &router, &tenant, "moved", async || {
        announce(&home, tenant.id, async |catalog| {
            let leave = format!(
                "UPDATE databases SET state = 'making', tenant_id = NULL WHERE tenant_id = '{0}';
                 UPDATE tenants SET cluster_id = '{second}', epoch = 2 WHERE id = '{0}'",
                tenant.id
            );
            execute(catalog, &leave).await;
            home.place(catalog, second, tenant.id, &moved).await;
        })
        .await
    })
    .await;
    assert_eq!(cluster_stats(&router, home.cluster).open, 0);
    assert!(cluster_stats(&router, second).open > 0);
    router.shutdown().await;
    server.stop().await.expect("the server stops");
}
