//! `GET /metrics`: all metrics in Prometheus's text format, version 0.0.4.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::InternalDeps;

pub(super) async fn handle(State(deps): State<InternalDeps>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, (deps.render)()).into_response()
}
