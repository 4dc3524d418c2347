//! What the change log says is known at once, and nothing older is used after it.

use std::time::Duration;

use tenantry_catalog::change_log::{Kind, append};
use tenantry_catalog::domains;
use tenantry_catalog::logins::{self, LoginRole, Successor};
use tenantry_catalog::tenants::TenantRef;
use tenantry_cluster::logins::LoginKind;
use tenantry_router::{AcquireError, Config, HostName, ResolveError};
use tenantry_types::DomainName;
use tokio::time::{Instant, timeout};

use crate::home::{Home, conn, eventually, pid, resolve, update_plan};
use crate::wire::Mode;
use crate::world::{execute, one};

/// Makes every reading of `routes` wait for advisory lock 42 *after* its snapshot was taken: what it
/// then answers is as old as its beginning.
async fn pause_loads(home: &Home) {
    let mut conn = home.conn().await;
    execute(
        &mut conn,
        "CREATE FUNCTION pause() RETURNS boolean LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_advisory_lock_shared(42); PERFORM pg_advisory_unlock_shared(42);
         RETURN true; END $$;
         ALTER VIEW routes RENAME TO routes_at_once;
         CREATE VIEW routes AS SELECT * FROM routes_at_once WHERE (SELECT pause());
         DO $$ DECLARE r text; BEGIN
           FOR r IN SELECT DISTINCT grantee FROM information_schema.role_table_grants
                    WHERE table_name = 'routes_at_once' AND grantee <> 'PUBLIC'
           LOOP EXECUTE format('GRANT SELECT ON routes TO %I', r); END LOOP; END $$",
    )
    .await;
}

async fn loads_waiting(home: &Home) -> i64 {
    let mut conn = home.conn().await;
    one(
        &mut conn,
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .await
}

/// Tried: with `is_fresh` in `versions.rs` always true, the load's old answer is served.
pub async fn a_change_during_a_load_is_not_overtaken_by_it(home: Home) {
    let (by_host, by_id) = (home.tenant("one").await, home.tenant("two").await);
    let router = home.router(Home::config()).await;
    pause_loads(&home).await;
    let mut gate = home.conn().await;
    let suspended = Err(ResolveError::Suspended { reason: None });
    for tenant in [&by_host, &by_id] {
        let of_id = tenant.id == by_id.id;
        execute(&mut gate, "SELECT pg_advisory_lock(42)").await;
        let asking = tokio::spawn({
            let (router, tenant) = (router.clone(), tenant.clone());
            async move {
                match of_id {
                    true => router.resolve_tenant(&TenantRef::Id(tenant.id)).await,
                    false => resolve(&router, &tenant).await,
                }
            }
        });
        eventually("the load is under way", async || {
            loads_waiting(&home).await == 1
        })
        .await;
        let number = home.set_status(tenant, "suspended", Kind::Fenced).await;
        // The removal waits for a load of the tenant. A load of a name cannot be waited for: which
        // tenant it will find is not known yet; what it finds is refused for its number.
        let applied = timeout(Duration::from_millis(500), router.wait_applied(number)).await;
        assert_eq!(
            applied.is_err(),
            of_id,
            "whether the row waits for the load"
        );
        execute(&mut gate, "SELECT pg_advisory_unlock(42)").await;

        let answer = asking.await.expect("answered");
        assert_eq!(answer.map(|route| route.tenant_id()), suspended);
        timeout(Duration::from_secs(2), router.wait_applied(number))
            .await
            .expect("applied");
        assert_eq!(
            resolve(&router, tenant)
                .await
                .map(|route| route.tenant_id()),
            suspended
        );
    }
    router.shutdown().await;
}

/// Tried: with `absent_is_fresh` in `versions.rs` always true, the name goes on leading nowhere.
pub async fn a_creation_during_a_search_is_not_overtaken_by_it(home: Home) {
    let hour = Duration::from_secs(3600);
    let router = home
        .router(Config {
            negative_ttl: hour,
            ..Home::config()
        })
        .await;
    pause_loads(&home).await;
    let mut gate = home.conn().await;
    for (slug, of_id) in [("by-host", false), ("by-id", true)] {
        let tenant = home.database(slug).await;
        execute(&mut gate, "SELECT pg_advisory_lock(42)").await;
        let asking = tokio::spawn({
            let (router, tenant) = (router.clone(), tenant.clone());
            async move {
                match of_id {
                    true => router.resolve_tenant(&TenantRef::Id(tenant.id)).await,
                    false => resolve(&router, &tenant).await,
                }
            }
        });
        eventually("the search is under way", async || {
            loads_waiting(&home).await == 1
        })
        .await;
        let number = home
            .register(&tenant, tenantry_catalog::tenants::Status::Active)
            .await;
        if !of_id {
            // What it will find cannot be known: the row does not wait for it.
            timeout(Duration::from_secs(2), router.wait_applied(number))
                .await
                .expect("applied during the search");
        }
        execute(&mut gate, "SELECT pg_advisory_unlock(42)").await;
        let answer = asking.await.expect("answered");
        timeout(Duration::from_secs(2), router.wait_applied(number))
            .await
            .expect("applied");
        if !of_id {
            assert_eq!(answer.map(|route| route.tenant_id()), Ok(tenant.id));
        }
        let after = resolve(&router, &tenant).await;
        assert_eq!(after.map(|route| route.tenant_id()), Ok(tenant.id));
        let by_id = router.resolve_tenant(&TenantRef::Id(tenant.id)).await;
        assert_eq!(by_id.map(|route| route.tenant_id()), Ok(tenant.id));
    }
    router.shutdown().await;
}

/// Tried: without the second look in `Cache::look_for`, each who waited reads by itself; with a
/// generation for each load that does not end the former one, the names have a pool each.
pub async fn one_load_serves_all_who_ask_and_two_names_share_a_pool(home: Home) {
    let tenant = home.tenant("acme").await;
    let (custom, number) = home.custom_domain(&tenant, "shop.acme.test").await;
    let router = home.router(Home::config()).await;
    router.wait_applied(number).await;
    pause_loads(&home).await;
    let mut gate = home.conn().await;
    execute(&mut gate, "SELECT pg_advisory_lock(42)").await;
    let asking: Vec<_> = (0..40)
        .map(|number| {
            let router = router.clone();
            let host = match number % 2 {
                0 => tenant.host(),
                _ => custom.clone(),
            };
            tokio::spawn(async move { router.resolve(&host).await })
        })
        .collect();
    eventually("one load for each name is under way", async || {
        loads_waiting(&home).await == 2
    })
    .await;
    let sent = home.catalog_wire.sent();
    execute(&mut gate, "SELECT pg_advisory_unlock(42)").await;
    for task in asking {
        let route = task.await.expect("answered").expect("a route");
        assert_eq!(route.tenant_id(), tenant.id);
    }
    // Forty readings would be some twenty thousand bytes.
    let sent = home.catalog_wire.sent() - sent;
    assert!(sent < 2_000, "{sent} bytes for what two had read already");
    let mut first = conn(&router, &tenant).await;
    let first_pid = pid(&mut first).await;
    first.release();
    let route = router.resolve(&custom).await.expect("a route");
    let mut second = router.acquire(&route).await.expect("a connection");
    assert_eq!(pid(&mut second).await, first_pid, "one pool");
    second.release();
    assert_eq!(router.stats().open, 1);
    router.shutdown().await;
}

async fn deleted(home: &Home, config: Config, within: Duration) {
    let tenant = home.tenant("acme").await;
    let router = home.router(config).await;
    let route = resolve(&router, &tenant).await.expect("a route");
    router
        .acquire(&route)
        .await
        .expect("a connection")
        .release();
    home.set_status(&tenant, "deleting", Kind::Fenced).await;
    let told = Instant::now();
    while resolve(&router, &tenant).await.is_ok() {
        assert!(
            told.elapsed() < within,
            "still served after {:?}",
            told.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let gone = ResolveError::Unknown;
    assert_eq!(resolve(&router, &tenant).await.expect_err("deleted"), gone);
    // Also for one who resolved before.
    match router.acquire(&route).await {
        Err(AcquireError::Resolve(error)) => assert_eq!(error, gone),
        other => panic!("a route from before the deletion gave {other:?}"),
    }
    eventually("its connections are gone", async || {
        home.connections(&router).await == 0
    })
    .await;
    router.shutdown().await;
}

/// Tried: with notifications that are heard and not heeded, it is served on.
pub async fn a_deleted_tenant_is_known_at_once_by_notification(home: Home) {
    deleted(&home, Home::config(), Duration::from_secs(1)).await;
}

/// Tried: with the poll left out of `ChangeLog::follow`, it is served on.
pub async fn a_deleted_tenant_is_known_within_a_poll_without_notifications(home: Home) {
    let poll = Duration::from_millis(500);
    let config = Config {
        listen: false,
        poll,
        ..Home::config()
    };
    deleted(&home, config, poll + Duration::from_millis(500)).await;
}

/// Nothing but the listener reads the log here: neither a poll nor a renewal comes within the test,
/// and it does not ask for a reading itself, as `wait_applied` does.
///
/// Tried: without the hint after `LISTEN`, without a second `listen_once`, and with an hour's pause
/// before it.
pub async fn a_lost_listener_is_made_up_for(home: Home) {
    let tenant = home.tenant("acme").await;
    let hour = Duration::from_secs(3600);
    let router = home
        .router(Config {
            poll: hour,
            lease: hour,
            ..Home::config()
        })
        .await;
    let listens = async || {
        eventually("it listens", async || {
            let mut conn = home.conn().await;
            let listening: i64 = one(
                &mut conn,
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'LISTEN%'",
            )
            .await;
            listening == 1
        })
        .await;
    };
    let applies = async |number: i64| {
        eventually("it is known", async || router.applied() >= number).await;
    };
    resolve(&router, &tenant).await.expect("a route");
    listens().await;
    // Its end is seen before anything is told, and what is told then nobody hears.
    let mut catalog = home.conn().await;
    execute(
        &mut catalog,
        "BEGIN; SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .await;
    let number = append(&mut catalog, tenant.id, Kind::Updated).await;
    execute(&mut catalog, "COMMIT").await;
    applies(number.expect("a change")).await;
    // It is told again of what comes later.
    listens().await;
    applies(home.change(&tenant, Kind::Updated).await).await;

    // The same when there is no way to the catalog for a time.
    home.catalog_wire.set(Mode::Cut);
    let number = home.set_status(&tenant, "suspended", Kind::Fenced).await;
    home.catalog_wire.set(Mode::Open);
    applies(number).await;
    listens().await;
    applies(home.set_status(&tenant, "active", Kind::Updated).await).await;
    router.shutdown().await;
}

/// Tried: with `absent_is_fresh` in `versions.rs` always true, the host goes on leading nowhere.
pub async fn creation_clears_a_name_that_led_nowhere(home: Home) {
    let hour = Duration::from_secs(3600);
    let router = home
        .router(Config {
            negative_ttl: hour,
            ..Home::config()
        })
        .await;
    let tenant = home.database("acme").await;
    let id = TenantRef::Id(tenant.id);
    let slug = TenantRef::Slug(tenant.slug.clone());
    assert_eq!(
        resolve(&router, &tenant).await.expect_err("none yet"),
        ResolveError::Unknown
    );
    for reference in [&id, &slug] {
        let outcome = router.resolve_tenant(reference).await;
        assert_eq!(outcome.expect_err("none yet"), ResolveError::Unknown);
    }
    let number = home
        .register(&tenant, tenantry_catalog::tenants::Status::Active)
        .await;
    timeout(Duration::from_secs(2), router.wait_applied(number))
        .await
        .expect("applied");
    resolve(&router, &tenant).await.expect("by host");
    for reference in [&id, &slug] {
        router
            .resolve_tenant(reference)
            .await
            .expect("by id and slug");
    }
    router.shutdown().await;
}

/// A name keeps the entry it led to last. That entry can be newer than what is known of the name:
/// here it was read after the name had gone to another tenant, and before the router heard of it.
///
/// Tried with the entry's own number alone in `Cache::led_to`: the name then goes on leading to
/// where it led.
pub async fn a_name_given_to_another_tenant_is_not_kept_by_a_newer_entry(home: Home) {
    let (first, second) = (home.tenant("first").await, home.tenant("second").await);
    let config = Config {
        listen: false,
        ..Home::config()
    };
    let router = home.router(config).await;
    let name = DomainName::parse("shop.example").expect("a name");
    home.claim(&first, &name).await;
    home.claim(&second, &name).await;
    let mut catalog = home.conn().await;
    let served = domains::serve(&mut catalog, first.id, &name).await;
    assert_eq!(served.expect("a domain"), domains::Serve::Begun);
    let host = HostName::Custom(name);
    let route = router.resolve(&host).await.expect("a route");
    assert_eq!(route.tenant_id(), first.id);

    let give = format!(
        "UPDATE domains SET tenant_id = '{}' WHERE name = 'shop.example'",
        second.id
    );
    execute(&mut catalog, &give).await;
    home.change(&first, Kind::Updated).await;
    let number = home.change(&second, Kind::Updated).await;
    // Nobody has told the router yet. The first tenant's entry is read anew, and kept by the name.
    router.disconnect(first.id).await;
    let route = router.resolve(&host).await.expect("a route");
    assert_eq!(route.tenant_id(), first.id, "not known yet");
    router.wait_applied(number).await;
    let route = router.resolve(&host).await.expect("a route");
    assert_eq!(route.tenant_id(), second.id);
    router.shutdown().await;
}

/// Tried: with a gap in the numbers not noticed, the suspended tenant is served; with
/// `forget_before` and `clear` left out of `lost`, the new tenant stays unknown; with its drains
/// left out, the connections stay open.
pub async fn pruned_rows_drop_everything(home: Home) {
    let (fenced, other) = (home.tenant("fenced").await, home.tenant("other").await);
    let config = Config {
        listen: false,
        poll: Duration::from_millis(300),
        negative_ttl: Duration::from_secs(3600),
        ..Home::config()
    };
    let router = home.router(config).await;
    for tenant in [&fenced, &other] {
        conn(&router, tenant).await.release();
    }
    let late = home.database("late").await;
    let by_id = TenantRef::Id(late.id);
    resolve(&router, &late).await.expect_err("none yet");
    router.resolve_tenant(&by_id).await.expect_err("none yet");
    let mut catalog = home.conn().await;
    execute(
        &mut catalog,
        &format!(
            "BEGIN; UPDATE tenants SET status = 'suspended' WHERE id = '{}'",
            fenced.id
        ),
    )
    .await;
    let active = tenantry_catalog::tenants::Status::Active;
    home.register_by(&mut catalog, home.cluster, &late, active)
        .await;
    for tenant in [&fenced, &other, &other] {
        append(&mut catalog, tenant.id, Kind::Fenced)
            .await
            .expect("a change");
    }
    // All rows but the newest are gone, also the one about the suspended tenant.
    let number: i64 = one(&mut catalog, "SELECT value FROM change_counter").await;
    execute(
        &mut catalog,
        &format!("DELETE FROM changes WHERE number < {number}; COMMIT"),
    )
    .await;
    eventually("it caught up", async || router.applied() >= number).await;
    eventually("nor is any connection of before kept", async || {
        home.connections(&router).await == 0
    })
    .await;
    assert!(
        resolve(&router, &fenced).await.is_err(),
        "its row was lost, its cache entry too"
    );
    resolve(&router, &other).await.expect("read anew");
    resolve(&router, &late).await.expect("a name that leads");
    let late = router.resolve_tenant(&by_id).await;
    late.expect("an id of a tenant");
    router.shutdown().await;
}

/// Tried: with `Updated` cutting like `Disconnect`, and with `Migrated` passed over in `settle`.
pub async fn an_update_keeps_connections_and_a_migration_retires_them(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(Home::config()).await;
    let mut first = conn(&router, &tenant).await;
    let first_pid = pid(&mut first).await;
    first.release();

    let number = update_plan(&home, &tenant, "pro").await;
    router.wait_applied(number).await;
    let route = resolve(&router, &tenant).await.expect("a route");
    assert_eq!(route.plan().as_str(), "pro");
    let mut same = router.acquire(&route).await.expect("a connection");
    assert_eq!(
        pid(&mut same).await,
        first_pid,
        "a new plan is no reason to connect anew"
    );

    let number = home.change(&tenant, Kind::Migrated).await;
    router.wait_drained(number).await;
    assert_eq!(
        pid(&mut same).await,
        first_pid,
        "a lease goes on during a migration"
    );
    same.release();
    let mut next = conn(&router, &tenant).await;
    assert_ne!(
        pid(&mut next).await,
        first_pid,
        "its plans are of before the migration"
    );
    drop(next);
    router.shutdown().await;
}

/// A lease of the former login goes on for longer than a fenced tenant's may, also where the row of the
/// rotation and one of another change are read together.
///
/// Tried with `Drain::of` giving `Cut`: the query is ended.
pub async fn a_rotated_login_ends_no_lease_although_another_change_follows(home: Home) {
    let tenant = home.tenant("acme").await;
    let config = Config {
        drain_deadline: Duration::from_millis(50),
        ..Home::config()
    };
    let router = home.router(config).await;
    let mut held = conn(&router, &tenant).await;
    let idle = conn(&router, &tenant).await;
    idle.release();

    let password = home.entropy.password();
    let name = tenant.logins.router_2.clone();
    let login = home.new_login(&name, LoginKind::Router, tenant.mark, &password);
    let mut admin = home.admin().connect("test").await.expect("in");
    tenantry_cluster::logins::create_for(&mut admin, &tenant.db, &[login])
        .await
        .expect("made");
    let sealed = home.seal(&tenant, &password);
    let successor = Successor {
        database: tenant.database,
        role: LoginRole::Router,
        name: &name,
        sealed: Some(&sealed),
        former: LoginRole::RouterOld,
        former_sealed: None,
        disable_at: None,
    };
    let mut catalog = home.conn().await;
    execute(&mut catalog, "BEGIN").await;
    logins::take_over(&mut catalog, &successor)
        .await
        .expect("switched");
    append(&mut catalog, tenant.id, Kind::Rotated)
        .await
        .expect("a change");
    let number = append(&mut catalog, tenant.id, Kind::Updated)
        .await
        .expect("a change");
    execute(&mut catalog, "COMMIT").await;

    let long = "SELECT session_user::text FROM pg_sleep(1)";
    let going_on = tokio::spawn(async move {
        let login: String = one(&mut held, long).await;
        (login, held)
    });
    router.wait_drained(number).await;
    let mut next = conn(&router, &tenant).await;
    let by: String = one(&mut next, "SELECT session_user::text").await;
    assert_eq!(by, name.as_str());
    next.release();
    let (by, held) = going_on.await.expect("it was not ended");
    assert_eq!(by, tenant.logins.router.as_str());
    held.release();
    eventually("no session of the former login is left", async || {
        let mut admin = home.admin().connect("test").await.expect("in");
        let left = tenantry_cluster::logins::sessions_of(&mut admin, &tenant.logins.router).await;
        left.expect("counted") == 0
    })
    .await;
    router.shutdown().await;
}
