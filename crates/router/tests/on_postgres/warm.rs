//! What a warm request costs.

use std::time::Duration;

use tenantry_catalog::tenants::TenantRef;
use tenantry_router::{Config, HostName, ResolveError};
use tenantry_types::Slug;
use tokio::time::Instant;

use crate::home::{Home, conn, resolve};

fn quiet() -> Config {
    let long = Duration::from_secs(600);
    Config {
        lease: long,
        poll: long,
        ..Home::config()
    }
}

pub async fn a_warm_request_asks_the_catalog_nothing(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(quiet()).await;
    let references = [
        TenantRef::Id(tenant.id),
        TenantRef::Slug(tenant.slug.clone()),
    ];
    conn(&router, &tenant).await.release();
    for reference in &references {
        router.resolve_tenant(reference).await.expect("a route");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (catalog, cluster) = (home.catalog_wire.sent(), home.cluster_wire.sent());
    for _ in 0..300 {
        conn(&router, &tenant).await.release();
        for reference in &references {
            router.resolve_tenant(reference).await.expect("a route");
        }
    }
    assert_eq!(home.catalog_wire.sent(), catalog, "bytes to the catalog");
    assert_eq!(
        home.cluster_wire.sent(),
        cluster,
        "bytes to the tenant's server"
    );
    let begun = Instant::now();
    for _ in 0..10_000 {
        resolve(&router, &tenant).await.expect("a route");
    }
    println!(
        "       a warm resolution takes {:?} (unoptimised)",
        begun.elapsed() / 10_000
    );
    router.shutdown().await;
}

pub async fn unknown_hosts_push_out_no_tenant(home: Home) {
    let tenant = home.tenant("acme").await;
    let config = Config {
        negative_capacity: 50,
        cache_capacity: 10,
        ..quiet()
    };
    let router = home.router(config).await;
    resolve(&router, &tenant).await.expect("a route");
    for number in 0..400 {
        let host = HostName::Subdomain(Slug::parse(&format!("x{number}")).expect("a slug"));
        assert_eq!(
            router.resolve(&host).await.expect_err("none"),
            ResolveError::Unknown
        );
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let sent = home.catalog_wire.sent();
    resolve(&router, &tenant).await.expect("a route");
    assert_eq!(home.catalog_wire.sent(), sent, "still remembered");
    assert!(router.stats().tenants <= 10);
    router.shutdown().await;
}
