//! `GET /internal/tls-ask?domain=`: whether a proxy that gets certificates on demand may get one for a
//! name. Anybody can make it ask, by a connection with that name in it.
//!
//! Yes for the names of tenants that are served, their subdomains and the domains of their own; no for
//! all others, base domains included, which have a certificate that nobody has to ask for. Unknown names
//! are remembered as such by the router, within bounds, as those in `Host` are.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use http::StatusCode;
use tenantry_router::ResolveError;
use tenantry_types::ErrorKind;

use super::Internal;
use crate::context::Site;
use crate::problem::Problem;

type Pairs = Vec<(String, String)>;

/// 200 with nothing in it, or the refusal; a proxy looks at the status only.
pub(super) async fn handle(
    State(Internal { app, .. }): State<Internal>,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    let Query(pairs) = query.map_err(|_| malformed())?;
    let name = match pairs.as_slice() {
        [(key, name)] if key == "domain" => name,
        _ => return Err(malformed()),
    };
    // A name for a certificate has no port; in a `Host` it may.
    if name.contains(':') {
        return Err(malformed());
    }
    let host = match Site::from(app.router.parse_host(name).map_err(|_| malformed())?) {
        Site::Tenant(host) => host,
        Site::Base | Site::Nowhere => return Err(Problem::no_tenant_here()),
    };
    match app.router.resolve(&host).await {
        // A former host redirects, and whoever comes by TLS has to get that far.
        Ok(_) | Err(ResolveError::Moved { .. }) => Ok(StatusCode::OK),
        // Whoever connects learns neither that there is a tenant nor that it is suspended.
        Err(ResolveError::Unknown | ResolveError::Suspended { .. }) => {
            Err(Problem::no_tenant_here())
        }
        Err(error) => Err(error.into()),
    }
}

fn malformed() -> Problem {
    Problem::new(ErrorKind::Malformed, "BAD_HOST").detail(
        "Ask with one host name and nothing else: /internal/tls-ask?domain=acme.example.com",
    )
}
