//! `GET /healthz` and `GET /readyz`, on any host: for whoever watches over the process.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use sqlx::{Connection, PgPool};
use tenantry_router::Router;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::Anyone;

/// How long the catalog may take before it counts as away: probes are impatient.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the process is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: Word,
}

/// How it is with what requests need.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether requests can be served.
    status: Word,
    /// Whether the catalog answers.
    catalog: Word,
    /// Whether this router knows the latest changes of tenants.
    router: Word,
}

/// How something is.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthWord)]
enum Word {
    Ok,
    Unavailable,
    Behind,
}

/// `GET /healthz`: whether the process answers. Says nothing of what it needs, so that a catalog that is
/// away does not get every process restarted.
#[utoipa::path(
    get, path = "/healthz", tag = "service", operation_id = "checkHealth",
    responses((status = 200, description = "It does.", body = Health)),
)]
pub(crate) async fn healthz(_: Anyone) -> Response {
    alive()
}

/// `GET /readyz`: whether requests can be served.
#[utoipa::path(
    get, path = "/readyz", tag = "service", operation_id = "checkReadiness",
    responses(
        (status = 200, description = "They can.", body = Readiness),
        (status = 503, description = "They cannot: the catalog is away, or this router is behind.", body = Readiness),
    ),
)]
pub(crate) async fn readyz(_: Anyone, State(app): State<App>) -> Response {
    ready(&app.catalog, &app.router).await
}

/// The answer of a process that runs.
pub(crate) fn alive() -> Response {
    Json(Health { status: Word::Ok }).into_response()
}

/// Whether catalog and router let requests be served.
pub(crate) async fn ready(catalog: &PgPool, router: &Router) -> Response {
    let catalog = answers(catalog).await;
    let router = router.stats().lease_ok;
    let (status, word) = match catalog && router {
        true => (StatusCode::OK, Word::Ok),
        false => (StatusCode::SERVICE_UNAVAILABLE, Word::Unavailable),
    };
    let body = Readiness {
        status: word,
        catalog: if catalog { Word::Ok } else { Word::Unavailable },
        router: if router { Word::Ok } else { Word::Behind },
    };
    (status, Json(body)).into_response()
}

async fn answers(catalog: &PgPool) -> bool {
    let ping = async { catalog.acquire().await?.ping().await };
    matches!(tokio::time::timeout(PATIENCE, ping).await, Ok(Ok(())))
}
