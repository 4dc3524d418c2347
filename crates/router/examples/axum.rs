//! A product in axum whose every request is on its customer's own database. docs/library.md tells what
//! it needs to run, and how to try it.

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use axum::routing::get;
use axum::{Json, Router as App};
use tenantry_router::axum::{Error, Tenant, TenantDb, layer, stop_signal};
use tenantry_router::{Router, sqlx};

/// The tenant's connection is an argument; there is no other way to a database.
async fn people(mut db: TenantDb) -> Result<Json<Vec<String>>, Error> {
    let sql = "SELECT email FROM tenantry.users ORDER BY email";
    Ok(Json(sqlx::query_scalar(sql).fetch_all(&mut *db).await?))
}

/// The connection is asked for when the body is there. What is not committed is rolled back.
async fn rename(tenant: Tenant, name: String) -> Result<Json<Vec<String>>, Error> {
    let mut db = tenant.db().await?;
    let mut tx = db.begin().await?;
    let update = "UPDATE tenantry.users SET name = $1";
    sqlx::query(update).bind(name).execute(&mut *tx).await?;
    let select = "SELECT name || ' <' || email || '>' FROM tenantry.users ORDER BY email";
    let all = sqlx::query_scalar(select).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(Json(all))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::from_env("my-product").await?;
    let app = App::new()
        .route("/people", get(people).put(rename))
        .layer(layer(router.clone()));
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(stop_signal())
        .await?;
    router.shutdown().await; // Hands connections back, so that nobody waits for this process.
    Ok(())
}
