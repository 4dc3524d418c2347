//! What a warm resolution allocates, beside a few known tenants and beside many. A program of its
//! own, because it counts what its allocator is asked for, thread by thread.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says what it expected"
)]

#[expect(dead_code, reason = "shared with the cases on Postgres")]
#[path = "on_postgres/home.rs"]
mod home;
#[expect(dead_code, reason = "shared with the cases on Postgres")]
#[path = "on_postgres/wire.rs"]
mod wire;
#[path = "on_postgres/world.rs"]
mod world;

use std::time::Duration;

use allocation_counter::measure;
use futures::FutureExt;
use tenantry_catalog::tenants::TenantRef;
use tenantry_router::{Config, HostName, Router};
use tenantry_types::Slug;

use crate::home::{Home, Tenant, eventually};
use crate::world::{Running, execute};

const FEW: u32 = 10;
const MANY: u32 = 5_000;
/// Resolutions that are counted one by one.
const CALLS: usize = 500;

/// Tried: with a byte allocated per known tenant in each resolution, it is 5,042 bytes instead of 41.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_catalog() {
    let case = Box::new(|home| -> Running { Box::pin(a_warm_resolution_allocates_the_same(home)) });
    world::run(vec![("a_warm_resolution_allocates_the_same", case)]).await;
}

/// Bytes that a resolution may take in which the cache puts itself in order: less than an address for
/// each of the many.
const IN_ORDER: u64 = 16_384;

/// Count and bytes of one resolution.
type Allocated = (u64, u64);

async fn a_warm_resolution_allocates_the_same(home: Home) {
    let asked = home.tenant("acme").await;
    make_up(&home, &asked).await;
    let long = Duration::from_secs(600);
    let config = Config {
        lease: long,
        poll: long,
        ..Home::config()
    };
    let router = home.router(config).await;
    know(&router, 1, FEW).await;
    let few = allocated(&router, &asked).await;
    know(&router, FEW + 1, MANY).await;
    eventually("all are known", async || {
        resolve(&router, &asked);
        router
            .resolve_tenant(&TenantRef::Id(asked.id))
            .await
            .expect("a route");
        router.stats().tenants > u64::from(MANY)
    })
    .await;
    let many = allocated(&router, &asked).await;
    println!("       a warm resolution allocates {few:?}, among many {many:?} (times, bytes)");
    assert_eq!(few, many);
    router.shutdown().await;
}

/// Tenants in the catalog that are like this one, under other names; none has a database.
async fn make_up(home: &Home, like: &Tenant) {
    let id = like.id;
    let made = format!(
        "CREATE FUNCTION pg_temp.id(kind int, n int) RETURNS text LANGUAGE sql AS
         $$ SELECT '0000000' || kind || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0') $$;
         INSERT INTO tenants SELECT made.* FROM tenants t, generate_series(1, {MANY}) n,
           jsonb_populate_record(t, jsonb_build_object(
             'id', pg_temp.id(1, n), 'slug', 'known-' || n)) made WHERE t.id = '{id}';
         INSERT INTO domains (name, tenant_id, kind, is_primary)
           SELECT 'known-' || n, pg_temp.id(1, n)::uuid, 'subdomain', true
           FROM generate_series(1, {MANY}) n;
         INSERT INTO databases SELECT made.* FROM databases d, generate_series(1, {MANY}) n,
           jsonb_populate_record(d, jsonb_build_object(
             'id', pg_temp.id(2, n), 'name', 'known_' || n, 'tenant_id', pg_temp.id(1, n))) made
           WHERE d.tenant_id = '{id}';
         INSERT INTO logins SELECT made.* FROM logins l, generate_series(1, {MANY}) n,
           jsonb_populate_record(l, jsonb_build_object(
             'database_id', pg_temp.id(2, n), 'name', 'known_' || n)) made
           WHERE l.database_id = '{}'",
        like.database
    );
    execute(&mut home.conn().await, &made).await;
}

/// Lets a router resolve made-up tenants once.
async fn know(router: &Router, from: u32, to: u32) {
    for number in from..=to {
        let slug = Slug::parse(&format!("known-{number}")).expect("a slug");
        let route = router.resolve(&HostName::Subdomain(slug)).await;
        route.expect("a route");
    }
}

/// A request's resolution, on this thread and at once: a warm one waits for nothing.
fn resolve(router: &Router, tenant: &Tenant) {
    let header = format!("{}.localhost:8080", tenant.slug);
    let host = router.parse_host(&header).expect("a host");
    let route = router.resolve(&host).now_or_never().expect("at once");
    assert_eq!(route.expect("a route").tenant_id(), tenant.id);
}

/// What a resolution allocates: the middle one of many, the ones beside it being those in which
/// the cache puts itself in order.
async fn allocated(router: &Router, tenant: &Tenant) -> Allocated {
    let host = router.parse_host(&format!("{}.localhost", tenant.slug));
    let route = router.resolve(&host.expect("a host")).await;
    route.expect("a route");
    let mut all = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let counted = measure(|| resolve(router, tenant));
        all.push((counted.count_total, counted.bytes_total));
        tokio::task::yield_now().await;
    }
    all.sort_unstable();
    let most = all[CALLS - 1];
    println!("       the most at a time: {most:?}");
    assert!(most.1 < IN_ORDER, "{most:?}");
    all[CALLS / 2]
}
