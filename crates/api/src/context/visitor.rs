//! The tenant that a request is about, whoever asks.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use tenantry_catalog::tenants::TenantRef;
use tenantry_router::{ResolveError, Route, TenantConn};
use tenantry_types::{ErrorKind, TenantId};

use super::credentials::bearer;
use super::{Guard, Site};
use crate::app::App;
use crate::meters::Noted;
use crate::problem::Problem;
use crate::routes::{Access, HostKind};

const TENANT_HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

/// Anyone at a tenant: no credentials were asked for.
pub(crate) struct Visitor {
    pub(crate) app: App,
    pub(crate) route: Route,
}

impl Visitor {
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
        let token = match host {
            Some(_) => None,
            None => by_token(&parts.headers, app),
        };
        named(parts, app, host, token).await
    }
}

/// Whether a request at a base domain names a tenant itself: by `x-tenant-id` or by a Bearer token
/// that counts. A cookie does not: what a browser has left of some tenant keeps nobody from the
/// front door.
pub(crate) fn names_tenant(headers: &HeaderMap, app: &App) -> bool {
    let by_header = app.config.allow_tenant_header && headers.contains_key(TENANT_HEADER);
    by_header || by_token(headers, app).is_some()
}

/// The tenant of a Bearer token that counts.
fn by_token(headers: &HeaderMap, app: &App) -> Option<TenantId> {
    let token = bearer(headers).ok().flatten()?;
    let claims = app.tokens.verify(token.expose(), app.clock.now()).ok()?;
    Some(claims.tid)
}

/// The tenant of the host that was asked; none at a base domain.
///
/// # Errors
/// 404 when the host is nobody's, and what is to be said of a tenant that is not served.
pub(super) async fn by_host(parts: &Parts, app: &App) -> Result<Option<Route>, Problem> {
    match parts.extensions.get::<Site>() {
        Some(Site::Base) => Ok(None),
        Some(Site::Tenant(host)) => match app.router.resolve(host).await {
            Ok(route) => Ok(Some(route)),
            Err(ResolveError::Unknown) => Err(Problem::no_tenant_here()),
            Err(error) => Err(error.into()),
        },
        Some(Site::Nowhere) | None => Err(Problem::no_tenant_here()),
    }
}

/// The one tenant that the host, the token and `x-tenant-id` name, as far as they are there.
///
/// # Errors
/// 403 when two of them name different tenants, 400 when none of them names one.
pub(super) async fn named(
    parts: &Parts,
    app: &App,
    host: Option<Route>,
    token: Option<TenantId>,
) -> Result<Visitor, Problem> {
    let header = asked_by_header(parts, app)?;
    let route = match (host, token, &header) {
        (Some(route), _, _) => route,
        (None, Some(id), _) => app.router.resolve_tenant(&TenantRef::Id(id)).await?,
        (None, None, Some(tenant)) => app.router.resolve_tenant(tenant).await?,
        (None, None, None) => return Err(Problem::new(ErrorKind::Malformed, "TENANT_NOT_NAMED")),
    };
    let token_agrees = token.is_none_or(|id| id == route.tenant_id());
    let header_agrees = header.is_none_or(|tenant| match tenant {
        TenantRef::Id(id) => id == route.tenant_id(),
        TenantRef::Slug(slug) => slug == *route.slug(),
    });
    if !token_agrees || !header_agrees {
        return Err(Problem::wrong_tenant());
    }
    if let Some(noted) = parts.extensions.get::<Noted>() {
        noted.tenant(route.tenant_id());
    }
    Ok(Visitor {
        app: app.clone(),
        route,
    })
}

/// `x-tenant-id`, where the configuration lets it be read at all.
fn asked_by_header(parts: &Parts, app: &App) -> Result<Option<TenantRef>, Problem> {
    if !app.config.allow_tenant_header {
        return Ok(None);
    }
    let mut values = parts.headers.get_all(TENANT_HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let tenant = value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok());
            tenant
                .map(Some)
                .ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))
        }
        (Some(_), Some(_)) => Err(Problem::wrong_tenant()),
    }
}
