//! The internal listener's URLs: for those who run the program, and for the proxies in front of their
//! products; not for anybody's users. No credentials are asked for here; who can reach the listener may
//! read all of it. What it says to proxies is in `docs/proxies.md`.

mod forward_auth;
mod hosts;
mod metrics;
mod tls_ask;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use tenantry_types::DomainName;
use tracing::Instrument;

use crate::app::App;
use crate::context::{Audience, RequestId, trace};
use crate::health;
use crate::problem::{self, Problem};
use crate::slot::Slots;

/// Gives the text of all metrics.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// The headers by which a proxy is told whose a request is, and tells the product. All of them replace
/// what a client sent under these names.
pub const HEADERS: &[&str] = forward_auth::HEADERS;

/// What the internal listener works with beside what the public one has, given to it by the binary.
#[derive(Clone)]
pub struct InternalDeps {
    /// The metrics.
    pub render: Render,
    /// Names by which the listener may be asked, besides `localhost` and addresses.
    pub hosts: Vec<DomainName>,
}

/// What its handlers can reach.
#[derive(Clone)]
struct Internal {
    app: App,
    render: Render,
    slots: Arc<Slots>,
}

/// A proxy asks once per request: as many as the public listener works on.
const AT_ONCE: usize = 2048;

/// Every internal URL.
pub(crate) fn service(app: App, deps: InternalDeps) -> Router {
    let internal = Internal {
        app,
        render: deps.render,
        slots: Arc::new(Slots::new(AT_ONCE)),
    };
    let for_proxies = Router::new()
        .route("/internal/forward-auth", get(forward_auth::handle))
        .route("/internal/tls-ask", get(tls_ask::handle))
        .layer(from_fn_with_state(internal.clone(), limit))
        .layer(from_fn_with_state(internal.clone(), observe));
    Router::new()
        .route("/metrics", get(metrics::handle))
        .route("/healthz", get(async || health::alive()))
        .route("/readyz", get(readyz))
        .merge(for_proxies)
        .fallback(async || (StatusCode::NOT_FOUND, "There is nothing at this address.\n"))
        .layer(from_fn_with_state(Arc::from(deps.hosts), hosts::only_ours))
        .with_state(internal)
}

async fn readyz(State(internal): State<Internal>) -> Response {
    health::ready(&internal.app.catalog, &internal.app.router)
        .await
        .into_response()
}

/// A bound on how many are worked on and for how long: behind each there is somebody who waits.
async fn limit(State(internal): State<Internal>, request: Request, next: Next) -> Response {
    let _slot = match internal.slots.take() {
        Ok(slot) => slot,
        Err(overloaded) => return overloaded.into_response(),
    };
    match tokio::time::timeout(internal.app.config.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::with_status(StatusCode::SERVICE_UNAVAILABLE, "REQUEST_TIMEOUT").into_response()
        }
    }
}

/// As on the public listener: an id, a line in the log, problems rendered, nothing kept by caches. The
/// answer may be shown to the one who asked the proxy, a person in front of a browser included.
async fn observe(
    State(Internal { app, .. }): State<Internal>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = RequestId::of(request.headers(), &app.entropy);
    let audience = Audience::of(request.headers());
    let span = tracing::info_span!(
        "for a proxy",
        request_id = id.as_str(),
        trace_id = trace::id_of(request.headers()),
        route = request.uri().path(),
        tenant = tracing::field::Empty,
    );
    async move {
        let (mut response, problem) = problem::render(next.run(request).await, &id, audience);
        if let Some(problem) = problem {
            app.meters.problem(problem.code());
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(value) = id.header_value() {
            headers.insert("x-request-id", value);
        }
        let latency_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(status = response.status().as_u16(), latency_us, "answered");
        response
    }
    .instrument(span)
    .await
}
