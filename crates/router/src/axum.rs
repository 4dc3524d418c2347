//! The router inside a product written in axum: add [`layer`], take [`TenantDb`] as an argument.
//!
//! The tenant is the one of the request's host name and nothing else: what a product makes of
//! tokens or headers is its own to compare, with [`Tenant`]. Answers to requests that lead to no
//! tenant, or to none that can be served, are RFC 9457 problems with the stable codes of the errors.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use ::axum::Extension;
use ::axum::extract::FromRequestParts;
use ::axum::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use ::axum::http::request::Parts;
use ::axum::http::{HeaderMap, StatusCode};
use ::axum::response::{IntoResponse, Response};
use sqlx::PgConnection;
use tenantry_types::ErrorKind;

use crate::{AcquireError, BadHost, ResolveError, Route, Router, TenantConn};

/// Gives the handlers below it the router.
pub fn layer(router: Router) -> Extension<Router> {
    Extension(router)
}

/// The tenant that the request was sent to. Takes no connection.
#[derive(Clone, Debug)]
pub struct Tenant(pub Route);

/// A connection to the database of the tenant that the request was sent to.
///
/// Dropped, it goes back to its pool; in a query or an open transaction, its session is ended.
#[derive(Debug)]
pub struct TenantDb {
    conn: TenantConn,
    route: Route,
}

/// Why a request got no tenant or no connection.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The layer is missing: a fault of the product.
    #[error("the router's layer is missing")]
    NoLayer,
    /// There is no usable host name in the request.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// The host leads to no tenant that may be served.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// There is no connection to be had.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

impl TenantDb {
    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Route {
        &self.route
    }

    /// See [`TenantConn::release`].
    pub fn release(self) {
        self.conn.release();
    }
}

impl Deref for TenantDb {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for TenantDb {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        // Looked up once for all extractors of a request.
        if let Some(tenant) = parts.extensions.get::<Self>() {
            return Ok(tenant.clone());
        }
        let router = router(parts)?;
        let host = router.parse_host(host(parts)?)?;
        let tenant = Self(router.resolve(&host).await?);
        parts.extensions.insert(tenant.clone());
        Ok(tenant)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let Tenant(route) = Tenant::from_request_parts(parts, state).await?;
        let conn = router(parts)?.acquire(&route).await?;
        Ok(Self { conn, route })
    }
}

impl Rejection {
    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoLayer => "INTERNAL",
            Self::Host(error) => error.code(),
            Self::Resolve(error) => error.code(),
            Self::Acquire(error) => error.code(),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLayer => ErrorKind::Internal,
            Self::Host(error) => error.kind(),
            Self::Resolve(error) => error.kind(),
            Self::Acquire(error) => error.kind(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoLayer | Self::Host(_) => None,
            Self::Resolve(error) => error.retry_after(),
            Self::Acquire(error) => error.retry_after(),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let status = match self.kind() {
            ErrorKind::Malformed => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(
                error = &self as &dyn std::error::Error,
                "a request cannot be served"
            );
        }
        let title = status.canonical_reason().unwrap_or_default();
        let code = self.code();
        // Plain words only: nothing here needs escaping.
        let body = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{},"code":"{code}"}}"#,
            status.as_u16()
        );
        let mut headers = HeaderMap::new();
        let json = ::axum::http::HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, json);
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, wait.as_secs().max(1).into());
        }
        (status, headers, body).into_response()
    }
}

fn router(parts: &Parts) -> Result<Router, Rejection> {
    parts
        .extensions
        .get::<Router>()
        .cloned()
        .ok_or(Rejection::NoLayer)
}

/// HTTP/1.1 sends the host in the header, HTTP/2 in the request's target. Two headers are no host:
/// a proxy and we could read different ones.
fn host(parts: &Parts) -> Result<&str, BadHost> {
    let mut headers = parts.headers.get_all(HOST).iter();
    match (headers.next(), headers.next()) {
        (Some(host), None) => host.to_str().map_err(|_| BadHost),
        (None, _) => parts
            .uri
            .authority()
            .map(|authority| authority.as_str())
            .ok_or(BadHost),
        (Some(_), Some(_)) => Err(BadHost),
    }
}
