//! `GET /docs`

use axum::response::Response;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderMap, HeaderValue};

use crate::context::BaseVisitor;
use crate::openapi::show::{cached, tag};

const PAGE: &str = include_str!("assets/page.html");

/// Scripts, and what they fetch, from this host only. Styles may be inline: the script draws with
/// `style` attributes.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The OpenAPI document to read and try in a browser.
#[utoipa::path(
    get, path = "/docs", tag = "service", operation_id = "getDocumentPage",
    responses(
        (status = 200, description = "A page that works without any other host.",
            body = String, content_type = "text/html",
            headers(("etag" = String, description = "What this version is called."))),
        (status = 304, description = "It is still the one you have (`If-None-Match`)."),
    ),
)]
pub(crate) async fn handle(_: BaseVisitor, headers: HeaderMap) -> Response {
    let tag = tag(PAGE.as_bytes());
    let mut response = cached(&headers, &tag, "text/html; charset=utf-8", PAGE.as_bytes());
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}
