//! `GET /metrics`: all metrics in Prometheus's text format, version 0.0.4.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Internal;

pub(super) async fn handle(State(internal): State<Internal>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, (internal.render)()).into_response()
}
