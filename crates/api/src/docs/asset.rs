//! `GET /docs/{asset}`

use std::sync::LazyLock;

use axum::extract::RawPathParams;
use axum::response::Response;
use http::HeaderMap;

use crate::context::BaseVisitor;
use crate::openapi::show::{cached, tag};
use crate::problem::Problem;

/// Name, type and content of what the page loads.
const ASSETS: &[(&str, &str, &[u8])] = &[
    (
        "rapidoc-min.js",
        "text/javascript; charset=utf-8",
        include_bytes!("assets/rapidoc-min.js"),
    ),
    (
        "rapidoc-min.js.LICENSE.txt",
        "text/plain; charset=utf-8",
        include_bytes!("assets/rapidoc-min.js.LICENSE.txt"),
    ),
];

/// What the page at `/docs` loads: its script, and the licence of that.
#[utoipa::path(
    get, path = "/docs/{asset}", tag = "service", operation_id = "getDocumentPagePart",
    params(
        (
            "asset" = String,
            Path,
            description = "The name of the file.",
            example = "rapidoc-min.js",
        ),
    ),
    responses(
        (status = 200, description = "The file.",
            content((String = "text/javascript"), (String = "text/plain")),
            headers(("etag" = String, description = "What this version is called."))),
        (status = 304, description = "It is still the one you have (`If-None-Match`)."),
    ),
    extensions(("x-problems" = json!(["NOT_FOUND"]))),
)]
pub(crate) async fn handle(
    _: BaseVisitor,
    headers: HeaderMap,
    path: RawPathParams,
) -> Result<Response, Problem> {
    static TAGS: LazyLock<Vec<String>> =
        LazyLock::new(|| ASSETS.iter().map(|(_, _, bytes)| tag(bytes)).collect());
    let wanted = path.iter().next().map(|(_, name)| name);
    let found = ASSETS.iter().zip(TAGS.iter());
    found
        .into_iter()
        .find(|((name, _, _), _)| Some(*name) == wanted)
        .map(|((_, content_type, bytes), tag)| cached(&headers, tag, content_type, bytes))
        .ok_or_else(|| Problem::not_found("NOT_FOUND"))
}
