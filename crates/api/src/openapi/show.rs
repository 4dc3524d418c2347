//! `GET /openapi.json`

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use super::document;
use crate::context::BaseVisitor;

/// This document, of the version that answers.
#[utoipa::path(
    get, path = "/openapi.json", tag = "service", operation_id = "getDocument",
    responses(
        (status = 200, description = "An OpenAPI 3.1 document.", body = serde_json::Value,
            headers(("etag" = String, description = "What this version is called."))),
        (status = 304, description = "It is still the one you have (`If-None-Match`)."),
    ),
)]
pub(crate) async fn handle(_: BaseVisitor, headers: HeaderMap) -> Response {
    static TAG: LazyLock<String> = LazyLock::new(|| tag(document().as_bytes()));
    cached(&headers, &TAG, "application/json", document().as_bytes())
}

/// The entity tag of some bytes.
pub(crate) fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// Bytes that change with the program only: asked for again each time, sent again when they differ.
pub(crate) fn cached(
    headers: &HeaderMap,
    tag: &str,
    content_type: &'static str,
    bytes: &'static [u8],
) -> Response {
    let caching = [(CACHE_CONTROL, "public, no-cache"), (ETAG, tag)];
    if knows(headers, tag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, content_type)], bytes).into_response()
}

/// RFC 9110, 13.1.2: a list of tags, compared weakly, or `*`.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim())
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
