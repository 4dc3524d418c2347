//! What a warm request costs.

use std::time::Duration;

use tenantry_catalog::aliases;
use tenantry_catalog::change_log::Kind;
use tenantry_catalog::tenants::TenantRef;
use tenantry_router::{Asked, Config, HostName, ResolveError};
use tenantry_types::{Alias, AliasId, Clock, Entropy, Reference, Slug, TenantId};
use tokio::time::Instant;

use crate::home::{Home, Tenant, conn, eventually, resolve};
use crate::shares::waits;
use crate::world::execute;

fn quiet() -> Config {
    let long = Duration::from_secs(600);
    Config {
        lease: long,
        poll: long,
        ..Home::config()
    }
}

/// Tried: with remembered names passed over, each request asks.
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

// Red when an absent name was not remembered.
pub async fn a_warm_alias_asks_the_catalog_nothing_also_one_that_nobody_has(home: Home) {
    let tenant = home.tenant("acme").await;
    let alias = Alias::AppId(Reference::parse("web-shop").expect("a reference"));
    let nobodys = Alias::StoreId(Reference::parse("web-shop").expect("a reference"));
    set_alias(&home, &tenant, &alias).await;
    let config = Config {
        negative_ttl: Duration::from_secs(600),
        ..quiet()
    };
    let router = home.router(config).await;
    let asks = async || {
        let route = router.resolve_alias(&alias).await.expect("a route");
        assert_eq!(route.tenant_id(), tenant.id);
        let named = router.tenant_of(&Asked::Alias(alias.clone())).await;
        assert_eq!(named, Ok(Some(tenant.id)));
        let nobody = router.tenant_of(&Asked::Alias(nobodys.clone())).await;
        assert_eq!(nobody, Ok(None));
    };
    asks().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let catalog = home.catalog_wire.sent();
    for _ in 0..100 {
        asks().await;
    }
    assert_eq!(home.catalog_wire.sent(), catalog, "bytes to the catalog");
    router.shutdown().await;
}

// Red when `tenant_of` gave deleted tenants, too.
pub async fn a_change_of_a_name_is_applied_with_its_row_of_the_log(home: Home) {
    let tenant = home.tenant("acme").await;
    let alias = Alias::AppId(Reference::parse("web-shop").expect("a reference"));
    let asked = Asked::Alias(alias.clone());
    let config = Config {
        negative_ttl: Duration::from_secs(600),
        ..Home::config()
    };
    let router = home.router(config).await;
    assert_eq!(router.tenant_of(&asked).await, Ok(None));
    set_alias(&home, &tenant, &alias).await;
    router
        .wait_applied(home.change(&tenant, Kind::Updated).await)
        .await;
    assert_eq!(router.tenant_of(&asked).await, Ok(Some(tenant.id)));
    let removed = aliases::remove(&mut home.conn().await, tenant.id, &alias).await;
    removed.expect("asked").expect("it was there");
    router
        .wait_applied(home.change(&tenant, Kind::Updated).await)
        .await;
    assert_eq!(router.tenant_of(&asked).await, Ok(None));
    // Deleted, a tenant is named by nothing.
    set_alias(&home, &tenant, &alias).await;
    router
        .wait_applied(home.change(&tenant, Kind::Updated).await)
        .await;
    assert_eq!(router.tenant_of(&asked).await, Ok(Some(tenant.id)));
    let gone = "UPDATE tenants SET status = 'deleting', purge_at = now()";
    execute(&mut home.conn().await, gone).await;
    router
        .wait_applied(home.change(&tenant, Kind::Fenced).await)
        .await;
    assert_eq!(router.tenant_of(&asked).await, Ok(None));
    router.shutdown().await;
}

async fn set_alias(home: &Home, tenant: &Tenant, alias: &Alias) {
    let id = AliasId::generate(&Clock::system(), &Entropy::system());
    let put = aliases::put(&mut home.conn().await, id, tenant.id, alias).await;
    assert!(matches!(put, Ok(aliases::Put::Made(_))), "{put:?}");
}

/// Tried: with names that lead nowhere kept beside those that lead somewhere, the tenant is read
/// again.
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

/// Names are looked for in the catalog as far as it lets us, and they hang there. A tenant that is known
/// by its id is read all the same.
///
/// Tried: with names taking the permits of tenants, three of them wait and not two.
pub async fn a_flood_of_names_keeps_no_tenant_from_being_read(home: Home) {
    let tenant = home.tenant("acme").await;
    let router = home.router(quiet()).await;
    let mut catalog = home.conn().await;
    execute(
        &mut catalog,
        "BEGIN; LOCK TABLE domains IN ACCESS EXCLUSIVE MODE",
    )
    .await;
    let flood = (0..30).map(|n| {
        let (router, slug) = (router.clone(), Slug::parse(&format!("nobody-{n}")));
        let host = HostName::Subdomain(slug.expect("a slug"));
        tokio::spawn(async move { router.resolve(&host).await.map(drop) })
    });
    let flood: Vec<_> = flood.collect();
    eventually("names wait", async || waits(&home).await >= 2).await;
    // And the others for those.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let route = router.resolve_tenant(&TenantRef::Id(tenant.id)).await;
    assert_eq!(route.expect("read").tenant_id(), tenant.id);
    assert_eq!(waits(&home).await, 2, "while names wait");
    execute(&mut catalog, "ROLLBACK").await;
    for one in flood {
        one.await.expect("asked").expect_err("nobody's");
    }
    router.shutdown().await;
}

/// Two tenants who are asked for all the time fill the cache when a third comes.
///
/// Tried: with moka's own choice of what to keep, the third is read again.
pub async fn a_tenant_that_comes_anew_has_its_place_in_a_full_cache(home: Home) {
    let tenants = home.tenants(3).await;
    let [first, second, third] = tenants.as_slice() else {
        panic!("three tenants");
    };
    let config = Config {
        cache_capacity: 2,
        negative_ttl: Duration::from_secs(600),
        ..quiet()
    };
    let router = home.router(config).await;
    // By its name and by its id: each has a cache of its own.
    let ask = async |tenant: &Tenant| {
        resolve(&router, tenant).await.expect("a route");
        let by_id = router.resolve_tenant(&TenantRef::Id(tenant.id)).await;
        by_id.expect("a route");
    };
    // A full cache makes room after some dozen looks at it, also at what is not there.
    let (nowhere, nobody) = (
        HostName::Subdomain(Slug::parse("nowhere").expect("a slug")),
        TenantRef::Id(TenantId::generate(&home.clock, &home.entropy)),
    );
    let settle = async || {
        for _ in 0..200 {
            router.resolve(&nowhere).await.expect_err("none");
            router.resolve_tenant(&nobody).await.expect_err("none");
        }
    };
    for _ in 0..50 {
        ask(first).await;
        ask(second).await;
    }
    settle().await;
    ask(third).await;
    settle().await;
    let sent = home.catalog_wire.sent();
    ask(third).await;
    ask(second).await;
    assert_eq!(home.catalog_wire.sent(), sent, "bytes to the catalog");
    ask(first).await;
    assert!(
        home.catalog_wire.sent() > sent,
        "it was used least recently: room was made of it"
    );
    router.shutdown().await;
}
