//! `GET /healthz` and `GET /readyz`, on any host: for whoever watches over the process.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use sqlx::Connection;

use crate::app::App;
use crate::context::Anyone;

/// How long the catalog may take before it counts as away: probes are impatient.
const PATIENCE: Duration = Duration::from_secs(1);

/// `GET /healthz`: the process answers. Says nothing of what it needs, so that a catalog that is
/// away does not get every process restarted.
pub(crate) async fn healthz(_: Anyone) -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /readyz`: requests can be served.
pub(crate) async fn readyz(_: Anyone, State(app): State<App>) -> Response {
    let catalog = catalog_answers(&app).await;
    let router = app.router.stats().lease_ok;
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

async fn catalog_answers(app: &App) -> bool {
    let ping = async { app.catalog.acquire().await?.ping().await };
    matches!(tokio::time::timeout(PATIENCE, ping).await, Ok(Ok(())))
}
