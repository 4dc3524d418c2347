//! The internal listener's URLs: for those who run the program, not for its users. No credentials
//! are asked for here; who can reach the listener may read all of it.

mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use sqlx::PgPool;

use crate::health;

/// Gives the text of all metrics.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// What the internal listener works with, given to it by the binary.
#[derive(Clone)]
pub struct InternalDeps {
    /// The catalog, to see whether it answers.
    pub catalog: PgPool,
    /// The router, to see whether it may serve.
    pub router: tenantry_router::Router,
    /// The metrics.
    pub render: Render,
}

/// Every internal URL.
pub fn service(deps: InternalDeps) -> Router {
    Router::new()
        .route("/metrics", get(metrics::handle))
        .route("/healthz", get(async || health::alive()))
        .route("/readyz", get(readyz))
        .fallback(async || (StatusCode::NOT_FOUND, "There is nothing at this address.\n"))
        .with_state(deps)
}

async fn readyz(State(deps): State<InternalDeps>) -> Response {
    health::ready(&deps.catalog, &deps.router)
        .await
        .into_response()
}
