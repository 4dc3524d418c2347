//! The router inside a product written in axum: add [`layer`], take [`TenantDb`] as an argument.
//! `docs/library.md` goes from nothing to a running product.
//!
//! The tenant is the one of the request's host name and nothing else: what a product makes of
//! tokens or headers is its own to compare, with [`Tenant`]. Answers to requests that lead to no
//! tenant, or to none that can be served, are RFC 9457 problems with the stable codes of the errors.

mod host;
mod problem;
mod serve;
mod stop;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use ::axum::extract::FromRequestParts;
use ::axum::http::HeaderValue;
use ::axum::http::request::Parts;
use ::axum::response::{IntoResponse, Response};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use tenantry_types::ErrorKind;
use tower::Layer;

use crate::{AcquireError, BadHost, Entrance, ResolveError, Route, Router, TenantConn};

pub use ipnet::IpNet;
pub use problem::Error;
pub use serve::{TenantService, until_sent};
pub use stop::stop_signal;

/// Gives the handlers below it the router. A request that took [`Tenant`] or [`TenantDb`] is with its
/// tenant until its answer was sent: a change that takes the tenant away from here waits for it, and
/// ends it at the deadline. `docs/library.md` says what that means for a handler.
pub fn layer(router: Router) -> TenantLayer {
    TenantLayer(Tenants {
        router,
        proxies: Arc::default(),
    })
}

/// See [`layer`].
#[derive(Clone, Debug)]
pub struct TenantLayer(Tenants);

/// What the extractors find in a request; put there by [`layer`].
#[derive(Clone, Debug)]
pub struct Tenants {
    router: Router,
    proxies: Arc<[IpNet]>,
}

/// The tenant that the request was sent to, and the router that found it. Takes no connection.
///
/// For a handler with a body: arguments are made in their order and a body is the last, so that with
/// [`TenantDb`] whoever sends a body slowly would hold one of the tenant's connections meanwhile.
#[derive(Clone, Debug)]
pub struct Tenant(pub Route, pub Router);

/// A connection to the database of the tenant that the request was sent to.
///
/// Dropped, it goes back to its pool; in a query or an open transaction, its session is ended. A
/// handler with a body, or one that may need no connection, takes [`Tenant`] and asks [`Tenant::db`].
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
    /// Proxies are trusted, and nobody knows whether a request comes from one: a fault of the product.
    #[error(
        "the client's address is not known: serve with into_make_service_with_connect_info::<SocketAddr>()"
    )]
    NoPeer,
    /// There is no usable host name in the request.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// A trusted proxy's `X-Forwarded-Host` and `Host` lead to different tenants.
    #[error("`X-Forwarded-Host` and `Host` lead to different tenants")]
    WrongTenant,
    /// The host is a former one of the tenant: the same request is to go to its present one.
    #[error("the tenant is served at another host")]
    Moved {
        /// Where to, without a scheme, which stays as it is.
        location: HeaderValue,
    },
    /// The host leads to no tenant that may be served.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// There is no connection to be had.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

impl TenantLayer {
    /// Reads the host from `X-Forwarded-Host` where the request comes from one of these networks: for a
    /// proxy that cannot pass on `Host` as the client sent it. From anybody else the header means
    /// nothing. The proxy must set or remove it: where it passes on a client's, only a `Host` that leads
    /// to another tenant stands in the client's way. Requests must carry their client's address then, see [`Rejection::NoPeer`].
    #[must_use]
    pub fn trusting(mut self, proxies: impl IntoIterator<Item = IpNet>) -> Self {
        self.0.proxies = proxies.into_iter().collect();
        self
    }
}

impl<S> Layer<S> for TenantLayer {
    type Service = TenantService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let tenants = self.0.clone();
        TenantService { inner, tenants }
    }
}

impl Tenant {
    /// A connection to its database.
    ///
    /// # Errors
    /// When there is none to be had, or the tenant may not be served any more.
    pub async fn db(&self) -> Result<TenantDb, Rejection> {
        let Self(route, router) = self;
        let conn = router.acquire(route).await?;
        let route = route.clone();
        Ok(TenantDb { conn, route })
    }
}

impl TenantDb {
    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Route {
        &self.route
    }

    /// Begins a transaction. Dropped without a commit it is rolled back.
    ///
    /// # Errors
    /// The database's own.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        Connection::begin(&mut *self.conn).await
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
        let Tenants { router, proxies } = tenants(parts)?;
        let named = host::of(parts, proxies)?;
        let host = named.agreed(router).await?;
        let entrance: Entrance = parts.extensions.get().cloned().ok_or(Rejection::NoLayer)?;
        let route = router.resolve(&host).await.map_err(|error| match &error {
            ResolveError::Moved { to } => named
                .moved(parts, to)
                .map_or(error.into(), |location| Rejection::Moved { location }),
            _ => error.into(),
        })?;
        let tenant = Self(entrance.enter(router, route).await?, router.clone());
        parts.extensions.insert(tenant.clone());
        Ok(tenant)
    }
}

/// For handlers that ask it more than the extractors do.
impl<S: Send + Sync> FromRequestParts<S> for Router {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        tenants(parts).map(|tenants| tenants.router.clone())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantDb {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        Tenant::from_request_parts(parts, state).await?.db().await
    }
}

impl Rejection {
    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoLayer | Self::NoPeer => "INTERNAL",
            Self::WrongTenant => "WRONG_TENANT",
            Self::Moved { .. } => "TENANT_MOVED",
            Self::Host(error) => error.code(),
            Self::Resolve(error) => error.code(),
            Self::Acquire(error) => error.code(),
        }
    }

    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLayer | Self::NoPeer => ErrorKind::Internal,
            Self::WrongTenant => ErrorKind::Forbidden,
            Self::Moved { .. } => ErrorKind::NotFound,
            Self::Host(error) => error.kind(),
            Self::Resolve(error) => error.kind(),
            Self::Acquire(error) => error.kind(),
        }
    }

    /// After how long another try makes sense, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoLayer
            | Self::NoPeer
            | Self::WrongTenant
            | Self::Moved { .. }
            | Self::Host(_) => None,
            Self::Resolve(error) => error.retry_after(),
            Self::Acquire(error) => error.retry_after(),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        if self.kind() == ErrorKind::Internal {
            tracing::error!(
                error = &self as &dyn std::error::Error,
                "a request cannot be served"
            );
        }
        match self {
            Self::Moved { location } => problem::moved(location),
            Self::Resolve(ResolveError::Suspended {
                reason: Some(reason),
            }) => problem::suspended(&reason),
            _ => problem::answer(self.kind(), self.code(), self.retry_after()),
        }
    }
}

fn tenants(parts: &Parts) -> Result<&Tenants, Rejection> {
    parts.extensions.get().ok_or(Rejection::NoLayer)
}
