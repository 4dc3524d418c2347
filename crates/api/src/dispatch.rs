//! From the host to the routes that answer there. The first thing that is looked at in a request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, on};
use http::StatusCode;
use tenantry_router::Visits;
use tenantry_router::axum::until_sent;
use tower::ServiceExt;

use crate::app::App;
use crate::context::{
    Authority, Site, Visitor, authority, compare, forwarded_host, from_proxy, names_tenant,
};
use crate::meters::Noted;
use crate::problem::Problem;
use crate::routes::{Access, HostKind, Place, ROUTES, Route};
use crate::setup::repeated;
use crate::slot::Slots;

/// Requests worked on at a time.
const AT_ONCE: usize = 2048;

/// The routes by what a host leads to.
pub(crate) struct Hosts {
    app: App,
    base: Router,
    tenant: Router,
    nowhere: Router,
    slots: Slots,
}

impl Hosts {
    pub(crate) fn new(app: &App) -> Self {
        let base = routes_at(Place::Base, app)
            .fallback(not_found)
            .method_not_allowed_fallback(wrong_method);
        // At an unknown tenant's host there are no paths and no methods at all: 404 comes first.
        let tenant = routes_at(Place::Tenant, app)
            .fallback(async |_: Visitor| not_found().await)
            .method_not_allowed_fallback(async |_: Visitor| wrong_method().await);
        let nowhere = routes_at(Place::Nowhere, app)
            .fallback(async || Problem::no_tenant_here())
            .method_not_allowed_fallback(wrong_method);
        Self {
            base: base.with_state(app.clone()),
            tenant: tenant.with_state(app.clone()),
            nowhere: nowhere.with_state(app.clone()),
            app: app.clone(),
            slots: Slots::new(AT_ONCE),
        }
    }
}

/// The tenant API answers at a base domain, too, when something else than the host names the tenant (see
/// `context/chain.rs`). The setup API answers nowhere else.
fn routes_at(place: Place, app: &App) -> Router<App> {
    ROUTES
        .iter()
        .filter(|route| route.info.host.answers_at(place))
        .fold(Router::new(), |router, route| {
            let twin = route.twin().filter(|twin| twin.info.host.answers_at(place));
            match (twin, route.info.host) {
                (None, _) => router.route(route.info.path, noted(route, app)),
                (Some(twin), HostKind::Base) => {
                    router.route(route.info.path, by_name(route, twin, app))
                }
                // Answers through the base domain's one.
                (Some(_), _) => router,
            }
        })
}

/// The route, which notes that it is the one that answers.
fn noted(route: &Route, app: &App) -> MethodRouter<App> {
    let number = ROUTES.iter().position(|known| std::ptr::eq(known, route));
    let number = number.and_then(|number| u16::try_from(number).ok());
    let noting = from_fn_with_state(number, note_route);
    let mut answering = route.method_router();
    if let Access::Operator(right) = route.info.access
        && repeated::applies_to(&route.info.method, route.info.path)
    {
        let state = (app.clone(), right);
        answering = answering.route_layer(from_fn_with_state(state, repeated::once));
    }
    answering.route_layer(noting)
}

/// One path that means two things at a base domain: a tenant's to who names a tenant.
fn by_name(base: &Route, tenant: &Route, app: &App) -> MethodRouter<App> {
    let of = |route: &Route| noted(route, app).with_state::<()>(app.clone());
    let (own, tenants, app) = (of(base), of(tenant), app.clone());
    on(base.filter, async move |request: Request| {
        let answering = if names_tenant(request.headers(), &app) {
            tenants
        } else {
            own
        };
        answering.oneshot(request).await.into_response()
    })
}

/// Finds the routes of the host and lets them answer.
pub(crate) async fn dispatch(
    State(hosts): State<Arc<Hosts>>,
    mut request: Request,
) -> Result<Response, Problem> {
    let (direct, forwarded) = hosts_of(&request, &hosts.app)?;
    let (authority, site) = asked(direct, forwarded, &hosts.app).await?;
    let (place, routes) = match site {
        Site::Base => (Place::Base, &hosts.base),
        Site::Tenant(_) => (Place::Tenant, &hosts.tenant),
        Site::Nowhere => (Place::Nowhere, &hosts.nowhere),
    };
    if let Some(noted) = request.extensions().get::<Noted>() {
        noted.place(place);
    }
    // Probes pass: a process that is busy must not look dead.
    let slot = if is_probe(request.uri().path()) {
        None
    } else {
        Some(hosts.slots.take()?)
    };
    if let Some(slot) = &slot {
        request.extensions_mut().insert(slot.clone());
    }
    request.extensions_mut().insert(authority);
    request.extensions_mut().insert(site);
    let visits = Visits::new();
    request.extensions_mut().insert(visits.entrance());
    let answer = visits.until_cut(routes.clone().oneshot(request)).await;
    drop(slot);
    Ok(until_sent(visits, answer?.into_response()))
}

/// The host that the request names, and the one that a proxy says the client asked for.
fn hosts_of(request: &Request, app: &App) -> Result<(Authority, Option<Authority>), Problem> {
    let (config, headers) = (&app.config, request.headers());
    let direct = authority(request.uri(), headers)?;
    let believed =
        config.forwarded_host && from_proxy(request.extensions(), &config.trusted_proxies);
    let forwarded = if believed {
        forwarded_host(headers)?
    } else {
        None
    };
    Ok((direct, forwarded))
}

/// The host that the client asked for and what it leads to. From here on nobody looks at another one:
/// tenants, cookies, origins and pages go by it.
async fn asked(
    direct: Authority,
    forwarded: Option<Authority>,
    app: &App,
) -> Result<(Authority, Site), Problem> {
    let Some(forwarded) = forwarded else {
        let site = Site::from(app.router.parse_host(&direct.0)?);
        return Ok((direct, site));
    };
    let site = Site::from(app.router.parse_host(&forwarded.0)?);
    compare(&direct, &site, app).await?;
    Ok((forwarded, site))
}

pub(crate) fn is_probe(path: &str) -> bool {
    path == "/healthz" || path == "/readyz"
}

async fn not_found() -> Problem {
    Problem::not_found("NOT_FOUND")
}

async fn wrong_method() -> Problem {
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED")
}

/// Notes the route, not the path: a path holds ids and may hold anything.
async fn note_route(State(number): State<Option<u16>>, request: Request, next: Next) -> Response {
    if let (Some(number), Some(noted)) = (number, request.extensions().get::<Noted>()) {
        noted.route(number);
    }
    next.run(request).await
}
