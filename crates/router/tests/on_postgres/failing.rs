//! Servers that are dead, silent, or were restarted.

use std::time::Duration;

use tenantry_router::{AcquireError, Config};
use tokio::time::Instant;

use crate::home::{Home, conn, eventually, resolve, whoami};
use crate::wire::Mode;
use crate::world::execute;

/// Tried: with `Failures` admitting each try, none of fifty is told at once.
pub async fn a_server_that_hangs_or_refuses_fails_fast_after_the_first_try(home: Home) {
    let tenant = home.tenant("acme").await;
    let timeout = Duration::from_millis(600);
    let router = home
        .router(Config {
            connect_timeout: timeout,
            ..Home::config()
        })
        .await;
    let route = resolve(&router, &tenant).await.expect("a route");
    for mode in [Mode::Silent, Mode::Cut] {
        home.cluster_wire.set(mode);
        // Twenty at once: those that cannot open themselves are told with the first failure.
        let begun = Instant::now();
        let mut asking = Vec::new();
        for _ in 0..20 {
            let (router, route) = (router.clone(), route.clone());
            asking.push(tokio::spawn(async move {
                router.acquire(&route).await.map(drop)
            }));
        }
        for task in asking {
            let outcome = task.await.expect("answered");
            assert!(
                matches!(outcome, Err(AcquireError::Unavailable)),
                "{outcome:?}"
            );
        }
        assert!(
            begun.elapsed() < timeout * 2,
            "{mode:?}: {:?}",
            begun.elapsed()
        );
        // From then on nearly all are told at once; a probe now and then takes its time.
        let mut fast = 0;
        for _ in 0..50 {
            let one = Instant::now();
            assert!(router.acquire(&route).await.is_err());
            fast += u32::from(one.elapsed() < timeout / 2);
        }
        assert!(fast >= 45, "{mode:?}: only {fast} of 50");
        home.cluster_wire.set(Mode::Open);
        eventually("it recovers by itself", async || {
            router.acquire(&route).await.is_ok()
        })
        .await;
        router.disconnect(tenant.id).await;
        resolve(&router, &tenant).await.expect("a route");
    }
    router.shutdown().await;
}

/// Tried: with each idle connection trusted, the dead ones are handed out.
pub async fn connections_that_died_while_idle_are_not_handed_out(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(Home::config()).await;
    let held = [
        conn(&router, &tenant).await,
        conn(&router, &tenant).await,
        conn(&router, &tenant).await,
    ];
    let _: [(); 3] = held.map(tenantry_router::TenantConn::release);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut server = home.world.connect("postgres", "postgres").await;
    let end = format!(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'tenantry/{}'",
        router.id()
    );
    execute(&mut server, &end).await;
    for _ in 0..4 {
        let mut conn = conn(&router, &tenant).await;
        assert_eq!(
            whoami(&mut conn).await.expect("a living connection"),
            "acme"
        );
        conn.release();
    }
    router.shutdown().await;
}
