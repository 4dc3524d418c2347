//! A route that leads to the wrong place hands out nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tenantry_catalog::logins::{self, LoginRole};
use tenantry_router::{AcquireError, Config};
use tenantry_types::Secret;
use tenantry_vault::scram;

use crate::home::{Home, Tenant, conn, resolve, whoami};
use crate::world::execute;

/// Tried: with the comparison in `connect.rs` replaced by `true`, this finds wrong rows at once.
pub async fn databases_swapped_under_a_loaded_router_give_no_wrong_row(home: Home) {
    let (a, b) = (home.tenant("a").await, home.tenant("b").await);
    let router = home
        .router(Config {
            per_tenant_max: 3,
            ..Home::config()
        })
        .await;
    let home = Arc::new(home);
    let (right, refused) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let stop = tokio_util::sync::CancellationToken::new();
    let mut load = Vec::new();
    for tenant in [&a, &a, &a, &a, &b, &b, &b, &b] {
        let (router, tenant, stop) = (router.clone(), tenant.clone(), stop.clone());
        let (right, refused) = (Arc::clone(&right), Arc::clone(&refused));
        load.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                let Ok(route) = resolve(&router, &tenant).await else {
                    continue;
                };
                match router.acquire(&route).await {
                    Ok(mut conn) => {
                        // A session that was ended gives an error, never another's row.
                        if let Ok(slug) = whoami(&mut conn).await {
                            assert_eq!(slug, tenant.slug.as_str());
                            right.fetch_add(1, Ordering::Relaxed);
                            conn.release();
                        }
                    }
                    Err(_) => {
                        refused.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        }));
    }
    for round in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let before = right.load(Ordering::Relaxed);
        assert!(before > 0, "it works before it is broken, round {round}");
        swap(&home, &a, &b).await;
        let alarms = router.stats().wrong_database;
        refused.store(0, Ordering::Relaxed);
        if round % 2 == 0 {
            crate::home::eventually("it fails closed and raises an alarm", async || {
                refused.load(Ordering::Relaxed) > 0 && router.stats().wrong_database > alarms
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // Swapped back after an even number of rounds: it recovers by itself.
    crate::home::eventually("both work again", async || {
        let mut works = true;
        for tenant in [&a, &b] {
            let route = resolve(&router, tenant).await.expect("a route");
            works &= router.acquire(&route).await.is_ok();
        }
        works
    })
    .await;
    stop.cancel();
    for task in load {
        task.await.expect("no wrong row");
    }
    router.shutdown().await;
}

/// Each name now leads to the other's database, and both logins get in.
async fn swap(home: &Home, a: &Tenant, b: &Tenant) {
    let mut conn = home.world.connect("postgres", "postgres").await;
    let (a, b) = (a, b);
    let grants = format!(
        "GRANT CONNECT ON DATABASE {} TO {}; GRANT CONNECT ON DATABASE {} TO {}",
        a.db, b.logins.router, b.db, a.logins.router
    );
    execute(&mut conn, &grants).await;
    let rename = format!(
        "ALTER DATABASE {0} RENAME TO swapping_{2}; ALTER DATABASE {1} RENAME TO {0};
         ALTER DATABASE swapping_{2} RENAME TO {1}",
        a.db,
        b.db,
        home.world.number()
    );
    let closing = |allow: &str| {
        format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS {allow}; ALTER DATABASE {} ALLOW_CONNECTIONS {allow}",
            a.db, b.db
        )
    };
    execute(&mut conn, &closing("false")).await;
    loop {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('{}', '{}')",
            a.db.as_str(),
            b.db.as_str()
        );
        execute(&mut conn, &end).await;
        let renamed = sqlx::raw_sql(sqlx::AssertSqlSafe(rename.clone()))
            .execute(&mut conn)
            .await;
        if renamed.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    execute(&mut conn, &closing("true")).await;
}

/// Tried: with the first stale route taken for the last in `acquire`, the new password is never
/// read.
pub async fn a_changed_password_is_read_anew_and_a_closed_login_is_refused(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(Home::config()).await;
    conn(&router, &tenant).await.release();
    router.disconnect(tenant.id).await;
    resolve(&router, &tenant)
        .await
        .expect("remembered with the old password");

    // Both sides changed, and no row of the change log says so.
    let password = Secret::new("another");
    let verifier = scram::verifier(&password, home.entropy.bytes(), 1);
    let mut admin = home.admin().connect("test").await.expect("in");
    let login = &tenant.logins.router;
    tenantry_cluster::logins::set_password(&mut admin, login, &verifier, &tenant.mark)
        .await
        .expect("changed");
    let sealed = home.seal(&tenant, &password);
    let mut catalog = home.conn().await;
    logins::set_secret(&mut catalog, tenant.database, LoginRole::Router, &sealed)
        .await
        .expect("stored");
    let mut anew = conn(&router, &tenant).await;
    assert_eq!(whoami(&mut anew).await.expect("asked"), "acme");
    anew.release();

    // Closed on the cluster only: the catalog knows no better.
    router.disconnect(tenant.id).await;
    tenantry_cluster::logins::disable(&mut admin, std::slice::from_ref(login))
        .await
        .expect("off");
    let route = resolve(&router, &tenant).await.expect("a route");
    assert!(matches!(
        router.acquire(&route).await,
        Err(AcquireError::Fenced)
    ));
    tenantry_cluster::logins::enable(&mut admin, std::slice::from_ref(login))
        .await
        .expect("on");
    crate::home::eventually("it is tried again", async || {
        let route = resolve(&router, &tenant).await.expect("a route");
        router.acquire(&route).await.is_ok()
    })
    .await;
    assert_eq!(router.stats().wrong_database, 0);
    router.shutdown().await;
}
