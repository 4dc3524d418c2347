//! Pages for people: signing in at a base domain or at a tenant's host, and where that leads.
//!
//! Rendered here, without a script; a form is sent and a page or a redirection comes back. Secrets
//! travel in bodies and cookies, never in a URL. What these pages do, programs do at `/auth/…`: the
//! rules are there, here are the words.

pub(crate) mod home;
mod problem;
mod renewal;
pub(crate) mod sign_in;
pub(crate) mod sign_out;

use std::sync::LazyLock;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

pub(crate) use problem::ProblemPage;
pub(crate) use renewal::Renewals;

use crate::problem::Problem;

/// Within each page, so that none needs a second request or a route: an error at a host that is
/// nobody's looks the same.
const STYLE: &str = include_str!("../../templates/style.css");

/// What every page forbids: all but its own style, known by its hash. No script runs here at all.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; frame-ancestors 'none'",
        STANDARD.encode(Sha256::digest(STYLE))
    )
});

/// A page whose forms may be sent to `forms` only, and be redirected to nowhere else: `'self'`,
/// origins, or nothing.
pub(crate) fn page(
    status: StatusCode,
    template: &impl Template,
    forms: &[&str],
) -> Result<Response, Problem> {
    let html = template.render().map_err(Problem::internal)?;
    let forms = if forms.is_empty() {
        "'none'".to_owned()
    } else {
        forms.join(" ")
    };
    let policy = format!("{}; form-action {forms}", *POLICY);
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::try_from(policy).map_err(Problem::internal)?,
    );
    // Without a referrer a browser sends a form with `Origin: null` (Fetch, "append a request
    // `Origin` header"), and nothing would tell ours from others.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
    Ok(response)
}

/// Where a form leads after it did its work, so that a reload does not send it again. A path of
/// ours, never one from the request.
fn see_other(path: &'static str) -> Response {
    let location = [(LOCATION, HeaderValue::from_static(path))];
    (StatusCode::SEE_OTHER, location).into_response()
}
