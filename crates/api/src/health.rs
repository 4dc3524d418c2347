//! `GET /healthz` and `GET /readyz`, on any host: for whoever watches over the process.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use sqlx::{Connection, PgPool};
use tenantry_router::Router;

use crate::app::App;
use crate::context::Anyone;

/// How long the catalog may take before it counts as away: probes are impatient.
const PATIENCE: Duration = Duration::from_secs(1);

/// `GET /healthz`: the process answers. Says nothing of what it needs, so that a catalog that is
/// away does not get every process restarted.
pub(crate) async fn healthz(_: Anyone) -> Response {
    alive()
}

/// `GET /readyz`: requests can be served.
pub(crate) async fn readyz(_: Anyone, State(app): State<App>) -> Response {
    ready(&app.catalog, &app.router).await
}

/// The answer of a process that runs.
pub(crate) fn alive() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Whether catalog and router let requests be served.
pub(crate) async fn ready(catalog: &PgPool, router: &Router) -> Response {
    let catalog = answers(catalog).await;
    let router = router.stats().lease_ok;
    let (status, word) = match catalog && router {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let body = json!({
        "status": word,
        "catalog": if catalog { "ok" } else { "unavailable" },
        "router": if router { "ok" } else { "behind" },
    });
    (status, Json(body)).into_response()
}

async fn answers(catalog: &PgPool) -> bool {
    let ping = async { catalog.acquire().await?.ping().await };
    matches!(tokio::time::timeout(PATIENCE, ping).await, Ok(Ok(())))
}
