//! The servers under test: one handler twice, on the router and on one hard-wired pool.
//!
//! They differ in nothing but how the handler comes to its connection: same listener, same axum,
//! same statement, same answer.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{self, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tenantry_catalog::tenants::TenantRef;
use tenantry_router::Router;
use tenantry_router::axum::{Tenant, TenantDb, layer};
use tenantry_types::TenantId;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::resolution::Told;
use crate::bench::pairs::percentile;
use crate::bench::world::bare_failed;
use crate::compose;
use crate::config::{Config, Overrides, Variables};
use crate::failure::{Failure, Result};
use crate::listen::Listeners;
use crate::stop::Stop;

/// The variable with the hard-wired pool's database.
pub const DATABASE_URL: &str = "BENCH_DATABASE_URL";
/// The variable with the hard-wired pool's size.
pub const CONNECTIONS: &str = "BENCH_CONNECTIONS";

/// How often a stream gives a line.
const STREAM_EVERY: Duration = Duration::from_millis(2);

/// Calls that are timed together. The median of many short batches is one that nobody interrupted.
const BATCH: u32 = 500;

#[derive(Serialize, sqlx::FromRow)]
struct Note {
    id: i32,
    body: String,
}

type Answer = std::result::Result<Json<Note>, StatusCode>;

/// The statement, on whatever connection.
async fn note(conn: &mut PgConnection, id: i32) -> Answer {
    sqlx::query_as("SELECT id, body FROM notes WHERE id = $1")
        .bind(id)
        .fetch_one(conn)
        .await
        .map(Json)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// The handler on the router.
async fn routed_note(mut db: TenantDb, extract::Path(id): extract::Path<i32>) -> Answer {
    let answer = note(&mut db, id).await?;
    db.release();
    Ok(answer)
}

/// A handler that changes its row, and waits for the disk: of `tenantry bench purge`.
async fn routed_write(mut db: TenantDb, extract::Path(id): extract::Path<i32>) -> Answer {
    let written = sqlx::query_as("UPDATE notes SET body = body WHERE id = $1 RETURNING id, body")
        .bind(id)
        .fetch_one(&mut *db)
        .await
        .map(Json)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    db.release();
    Ok(written)
}

#[derive(Serialize)]
struct Moment {
    moment: i64,
}

/// When it is here, in nanoseconds since 1970.
fn moment() -> i64 {
    let now = tenantry_types::Clock::system().now();
    now.timestamp_nanos_opt().unwrap_or_default()
}

/// The handler on the router, and when its answer was made: of `tenantry bench suspend`.
async fn routed_moment(
    mut db: TenantDb,
    extract::Path(id): extract::Path<i32>,
) -> std::result::Result<Json<Moment>, StatusCode> {
    note(&mut db, id).await.map(drop)?;
    let made = moment();
    db.release();
    Ok(Json(Moment { moment: made }))
}

/// An answer without an end: a line with the moment at which it was made, every few milliseconds. For the
/// tests of what is served while a tenant is taken out of service.
async fn moments(_: Tenant) -> axum::body::Body {
    let lines = futures::stream::unfold((), async |()| {
        tokio::time::sleep(STREAM_EVERY).await;
        let line = format!("{}\n", moment());
        Some((Ok::<_, std::convert::Infallible>(line), ()))
    });
    axum::body::Body::from_stream(lines)
}

/// The handler on one pool.
async fn wired_note(
    State(wired): State<Arc<Wired>>,
    extract::Path(id): extract::Path<i32>,
) -> Answer {
    let mut conn = wired.pool.acquire().await;
    let conn = conn.as_mut().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    note(conn, id).await
}

struct Wired {
    pool: PgPool,
    options: PgConnectOptions,
    /// What the last cold request opened.
    opened: Mutex<Option<PgConnection>>,
}

/// A connection of its own, which stays open as a pooled one would.
async fn connected_note(
    State(wired): State<Arc<Wired>>,
    extract::Path(id): extract::Path<i32>,
) -> Answer {
    let conn = wired.options.connect().await;
    let mut conn = conn.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let answer = note(&mut conn, id).await?;
    *wired.opened.lock().await = Some(conn);
    Ok(answer)
}

async fn close_opened(State(wired): State<Arc<Wired>>) -> &'static str {
    if let Some(conn) = wired.opened.lock().await.take() {
        // Its end on the server is not waited for, as on the other side.
        let _ = conn.close().await;
    }
    "forgotten"
}

async fn forget(Tenant(route, ..): Tenant, router: Router) -> &'static str {
    router.disconnect(route.tenant_id()).await;
    "forgotten"
}

#[derive(Deserialize)]
struct Hosts {
    hosts: String,
}

async fn resolutions(
    router: Router,
    extract::Path(number): extract::Path<u32>,
    Query(hosts): Query<Hosts>,
) -> std::result::Result<Json<Told>, StatusCode> {
    let headers: Vec<&str> = hosts.hosts.split(',').collect();
    let lost = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let names: std::result::Result<Vec<_>, _> = headers
        .iter()
        .map(|header| router.parse_host(header))
        .collect();
    let names = names.map_err(|_| StatusCode::BAD_REQUEST)?;
    let map: HashMap<&str, usize> = headers
        .iter()
        .zip(0..)
        .map(|(host, n)| (*host, n))
        .collect();

    let (mut header, mut host, mut look) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..(number / BATCH).max(1) {
        let began = Instant::now();
        for header in headers.iter().cycle().take(BATCH as usize) {
            let host = router.parse_host(black_box(header));
            let host = host.map_err(|_| StatusCode::BAD_REQUEST)?;
            black_box(router.resolve(&host).await.map_err(lost)?);
        }
        header.push(began.elapsed());
        let began = Instant::now();
        for name in names.iter().cycle().take(BATCH as usize) {
            black_box(router.resolve(black_box(name)).await.map_err(lost)?);
        }
        host.push(began.elapsed());
        let began = Instant::now();
        for header in headers.iter().cycle().take(BATCH as usize) {
            black_box(map.get(black_box(header)));
        }
        look.push(began.elapsed());
    }
    // Milliseconds of a batch to nanoseconds of one.
    let each = |batches: &[Duration]| percentile(batches, 0.5) * 1e6 / f64::from(BATCH);
    Ok(Json(Told {
        header: each(&header),
        host: each(&host),
        map: each(&look),
    }))
}

#[derive(Deserialize)]
struct Names {
    base: String,
    #[serde(default)]
    tenants: u32,
}

/// The host of a made-up tenant.
fn known(number: u32, base: &str) -> String {
    format!("known-{number}.{base}")
}

async fn resolve(router: &Router, host: &str) -> std::result::Result<(), StatusCode> {
    let host = router
        .parse_host(host)
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    let route = router.resolve(&host).await;
    route
        .map(drop)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Resolves made-up tenants, some at a time.
async fn know(
    router: Router,
    extract::Path((from, to)): extract::Path<(u32, u32)>,
    Query(names): Query<Names>,
) -> std::result::Result<Json<u32>, StatusCode> {
    let all = futures::stream::iter((from..=to).map(Ok));
    all.try_for_each_concurrent(4, async |number| {
        resolve(&router, &known(number, &names.base)).await
    })
    .await?;
    Ok(Json((to + 1).saturating_sub(from)))
}

/// Times first resolutions, one after another, of tenants that lie all over the catalog.
async fn misses(
    router: Router,
    extract::Path((first, number)): extract::Path<(u32, u32)>,
    Query(names): Query<Names>,
) -> std::result::Result<Json<Vec<u64>>, StatusCode> {
    let mut times = Vec::new();
    for n in first..first + number {
        // A prime that divides no round number: each tenant comes once.
        let place = u64::from(n) * 7_919 % u64::from(names.tenants.max(1));
        let number = u32::try_from(place).map_err(|_| StatusCode::BAD_REQUEST)? + 1;
        let host = known(number, &names.base);
        let began = Instant::now();
        resolve(&router, &host).await?;
        let took = began.elapsed();
        times.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(Json(times))
}

async fn stats(router: Router) -> Json<serde_json::Value> {
    // The cache counts when it is asked for something, now and then: here, for a tenant that nobody is.
    let _ = router
        .resolve_tenant(&TenantRef::Id(TenantId::from_uuid(Uuid::nil())))
        .await;
    let stats = router.stats();
    Json(serde_json::json!({
        "router": router.id().to_string(),
        "tenants": stats.tenants,
        "applied": stats.applied,
    }))
}

/// Serves the handler on the router.
///
/// # Errors
/// What stands in the way of a start.
pub async fn routed(address_file: &Path) -> Result<()> {
    let (none, variables) = (Overrides::default(), Variables::of_process());
    let config = Config::load(None, &variables, &none, &none)?;
    let router = compose::router_alone(&config).await?;
    let app = axum::Router::new()
        .route("/notes/{id}", get(routed_note).post(routed_write))
        .route("/moments/{id}", get(routed_moment))
        .route("/moments", get(moments))
        .route("/forget", post(forget))
        .route("/resolution/{number}", get(resolutions))
        .route("/know/{from}/{to}", post(know))
        .route("/misses/{first}/{number}", get(misses))
        .route("/stats", get(stats))
        .layer(layer(router.clone()));
    let served = serve(&app, address_file).await;
    router.shutdown().await;
    served
}

/// Serves the handler on one pool.
///
/// # Errors
/// What stands in the way of a start.
pub async fn wired(address_file: &Path) -> Result<()> {
    let missing = || Failure::usage("only `tenantry bench route` starts this");
    let url = std::env::var(DATABASE_URL).map_err(|_| missing())?;
    let connections = std::env::var(CONNECTIONS).map_err(|_| missing())?;
    let connections = connections.parse().map_err(|_| missing())?;
    let options = PgConnectOptions::from_str(&url).map_err(|error| bare_failed(&error))?;
    let options = options.disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        // As the router, which asks a connection only when it was idle for a second.
        .test_before_acquire(false)
        .connect_with(options.clone())
        .await
        .map_err(|error| bare_failed(&error))?;
    let state = Arc::new(Wired {
        pool: pool.clone(),
        options,
        opened: Mutex::default(),
    });
    let app = axum::Router::new()
        .route("/notes/{id}", get(wired_note))
        .route("/connect/{id}", get(connected_note))
        .route("/forget", post(close_opened))
        .with_state(state);
    let served = serve(&app, address_file).await;
    pool.close().await;
    served
}

async fn serve(app: &axum::Router, address_file: &Path) -> Result<()> {
    let stop = Stop::on_signals()?;
    let listeners = Listeners::bind(([127, 0, 0, 1], 0).into(), "the benchmark's port").await?;
    let draft = address_file.with_extension("new");
    std::fs::write(&draft, listeners.address().to_string())
        .and_then(|()| std::fs::rename(&draft, address_file))
        .map_err(|error| Failure::because("the address cannot be told", &error))?;
    listeners.serve(app, &stop).await;
    Ok(())
}
