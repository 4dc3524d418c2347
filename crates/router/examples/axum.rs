//! A product in axum whose every request is on its customer's own database.
//!
//! `TENANTRY_ROUTER_CATALOG_URL`, `TENANTRY_KEYS` (the `route` key is enough to route) and
//! `TENANTRY_INSTALLATION` say which installation to join; then
//! `curl -H 'Host: acme.localhost' http://127.0.0.1:8080/` asks Acme's database.

use std::error::Error;

use axum::routing::get;
use axum::{Json, Router as App};
use tenantry_router::axum::{TenantDb, layer};
use tenantry_router::{Config, Router};
use tenantry_types::{Clock, Entropy, Secret};
use tenantry_vault::Keyring;

/// The tenant's connection is an argument; there is no other way to a database.
async fn tables(mut db: TenantDb) -> Result<Json<Vec<String>>, String> {
    let sql =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let names = sqlx::query_scalar(sql)
        .fetch_all(&mut *db)
        .await
        .map_err(|e| e.to_string())?;
    db.release();
    Ok(Json(names))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = std::env::var;
    let url = Secret::new(setting("TENANTRY_ROUTER_CATALOG_URL")?);
    let catalog = tenantry_catalog::connect(&url, 5, "my-product").await?;
    let keys = Keyring::parse(&Secret::new(setting("TENANTRY_KEYS")?))?.route();
    let installation = setting("TENANTRY_INSTALLATION")?.parse()?;
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let config = Config::default();
    let router = Router::start(
        config,
        catalog,
        keys,
        installation,
        clock,
        entropy,
        "my-product",
    )
    .await?;

    let app = App::new()
        .route("/", get(tables))
        .layer(layer(router.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await?;
    router.shutdown().await;
    Ok(())
}
