//! The layers around the routes, in the order in which a request passes them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use tenantry_types::ErrorKind;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tracing::Instrument;

use crate::app::App;
use crate::context::trace::{self, Ids, TRACE_RESPONSE, Traced};
use crate::context::{Audience, RequestId, SECRET_HEADERS, client_of};
use crate::dispatch::{self, Hosts};
use crate::meters::{self, Noted};
use crate::problem::{self, Problem};

/// What a handler that waits by itself (for an operation) gets on top, to answer in its own words.
const ROOM_TO_ANSWER: Duration = Duration::from_secs(5);

/// The routes with everything around them.
pub(crate) fn stack(app: App) -> Router {
    let hosts = Arc::new(Hosts::new(&app));
    Router::new()
        .fallback(dispatch::dispatch)
        .with_state(hosts)
        .layer(
            ServiceBuilder::new()
                // Whatever prints a request from here on shows these as "Sensitive".
                .layer(sensitive())
                // The request's id and span; every error becomes a problem here, so all that can
                // make one is inside.
                .layer(from_fn_with_state(app.clone(), observe))
                // A panic is one request's failure, not the connection's.
                .layer(CatchPanicLayer::custom(panicked))
                // A bound on everything below, slow uploads included. The limits on how many are
                // worked on at once and on the size of a body are where these begin: `dispatch`, `json`.
                .layer(from_fn_with_state(app, limit_time)),
        )
}

fn sensitive() -> SetSensitiveRequestHeadersLayer {
    SetSensitiveRequestHeadersLayer::new([AUTHORIZATION, COOKIE].into_iter().chain(SECRET_HEADERS))
}

/// Gives the request an id and a span, renders its problem, sets the headers that every answer
/// has, and says how it ended.
async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = RequestId::of(request.headers(), &app.entropy);
    let traced = match dispatch::is_probe(request.uri().path()) {
        true => Traced::none(),
        false => {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
            let trusted = trace::is_trusted(peer, &app.config.trusted_proxies);
            let method = meters::word_of(request.method());
            Traced::begin(request.headers(), trusted, method, &id)
        }
    };
    // Where we trace, a line is found by the id of our own trace.
    let ids = traced.ids();
    let trace_id = ids.as_ref().map(Ids::trace);
    let span = tracing::info_span!(
        "request",
        request_id = id.as_str(),
        trace_id = trace_id.as_deref().or(trace::id_of(request.headers())),
        method = meters::word_of(request.method()),
        route = tracing::field::Empty,
        tenant = tracing::field::Empty,
    );
    let within = traced.span().clone();
    let noted = Noted::new(span.clone(), traced.clone());
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(noted.clone());
    let audience = Audience::of(request.headers());
    let at_setup = request.uri().path().starts_with("/setup/").then(|| {
        let trusted = &app.config.trusted_proxies;
        client_of(request.extensions(), request.headers(), trusted)
    });
    async move {
        let in_flight = app.meters.begin(request.method().clone(), noted);
        let (mut response, problem) = problem::render(next.run(request).await, &id, audience);
        if let Some(problem) = problem {
            app.meters.problem(problem.code());
            if let Some(address) = at_setup
                && matches!(
                    problem.status(),
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                )
            {
                app.denials.count(address, problem.code());
            }
        }
        set_headers(response.headers_mut(), &id);
        if let Some(value) = ids.and_then(|ids| ids.header()) {
            response.headers_mut().insert(TRACE_RESPONSE, value);
        }
        let status = response.status();
        traced.answered(status.as_u16());
        let took = begun.elapsed();
        in_flight.answered(status, took);
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(status = status.as_u16(), latency_us, "answered");
        response
    }
    .instrument(within)
    .instrument(span)
    .await
}

fn set_headers(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A page with a form says itself what its browser may tell.
    headers
        .entry(REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
    // Nearly every answer is about one person or holds a secret; what may be kept says so itself.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Some(value) = id.header_value() {
        headers.insert("x-request-id", value);
    }
}

async fn limit_time(State(app): State<App>, request: Request, next: Next) -> Response {
    let limit = app.config.request_timeout + ROOM_TO_ANSWER;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::with_status(StatusCode::SERVICE_UNAVAILABLE, "REQUEST_TIMEOUT").into_response()
        }
    }
}

/// What the panic said is with the panic hook; it may quote data, so nothing of it is kept here.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::new(ErrorKind::Internal, "INTERNAL").into_response()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::ready;

    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn what_lets_somebody_in_is_not_printed() {
        let mut request = http::Request::new(());
        for name in ["authorization", "cookie", "x-api-key", "x-channel-token"] {
            let value = HeaderValue::from_static("hidden-value");
            request.headers_mut().insert(name, value);
        }
        let printed = ServiceBuilder::new()
            .layer(sensitive())
            .service(service_fn(|request: http::Request<()>| {
                let printed = format!("{:?}", request.headers());
                ready(Ok::<_, Infallible>(http::Response::new(printed)))
            }))
            .oneshot(request);
        let printed = printed.await.expect("printed").into_body();
        assert_eq!(printed.matches("Sensitive").count(), 4, "{printed}");
        assert!(!printed.contains("hidden-value"), "{printed}");
    }
}
