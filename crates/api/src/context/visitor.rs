//! The tenant that a request is about, whoever asks.

use axum::extract::FromRequestParts;
use http::request::Parts;
use tenantry_router::{Entrance, Route, TenantConn};
use tenantry_types::{ErrorKind, TenantId};

use super::Guard;
use super::chain::{agreed, by_host, by_token};
use crate::app::App;
use crate::meters::Noted;
use crate::problem::Problem;
use crate::routes::{Access, HostKind};

/// Anyone at a tenant: no credentials were asked for. From here until its answer was sent the request
/// is with the tenant: a change that takes the tenant away waits for it, and ends it at the deadline.
pub(crate) struct Visitor {
    pub(crate) app: App,
    pub(crate) route: Route,
}

impl Visitor {
    /// The tenant that host, token and headers lead to, see [`super::chain`]. The request counts once,
    /// by however many names that was found.
    pub(super) async fn agreed(
        parts: &Parts,
        app: &App,
        host: Option<Route>,
        token: Option<TenantId>,
    ) -> Result<Self, Problem> {
        let route = agreed(parts, app, host, token).await?;
        // Whoever serves tenants' requests has put it there: without it nobody would wait for this one.
        let entrance = parts.extensions.get::<Entrance>();
        let entrance = entrance.ok_or_else(|| Problem::new(ErrorKind::Internal, "INTERNAL"))?;
        let route = entrance.enter(&app.router, route).await?;
        if let Some(noted) = parts.extensions.get::<Noted>() {
            noted.tenant(route.tenant_id());
        }
        Ok(Self {
            app: app.clone(),
            route,
        })
    }

    /// Leases a connection to the tenant. Give it back with `release()` when all went well.
    pub(crate) async fn conn(&self) -> Result<TenantConn, Problem> {
        Ok(self.app.router.acquire(&self.route).await?)
    }

    pub(crate) fn tenant_id(&self) -> TenantId {
        self.route.tenant_id()
    }
}

impl Guard for Visitor {
    const HOST: HostKind = HostKind::Tenant;

    fn access() -> Access {
        Access::Public
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let host = by_host(parts, app).await?;
        Self::agreed(parts, app, host, by_token(&parts.headers, app)).await
    }
}
