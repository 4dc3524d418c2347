//! The URL table. The routers are built from it, and its column `access` is taken from the type of
//! each handler's first argument, so that neither can say something else than what is done.

use std::sync::LazyLock;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use crate::app::App;
use crate::context::Guard;
use crate::rights::Right;
use crate::{base, docs, health, jwks, openapi, pages, setup, tenant};

/// Every URL, in the order of the folders. `{…}` is one segment. A path may stand here twice: for the
/// base domain and for tenants' hosts. At a base domain the tenants' one then answers only who names
/// a tenant.
fn all() -> Vec<Route> {
    vec![
        get("/healthz", health::healthz),
        get("/readyz", health::readyz),
        get("/.well-known/jwks.json", jwks::handle),
        //
        get("/openapi.json", openapi::show::handle),
        get("/docs", docs::show::handle),
        get("/docs/{asset}", docs::asset::handle),
        //
        get("/", pages::home::handle),
        get("/sign-in", pages::sign_in::show::handle),
        post("/sign-in", pages::sign_in::submit::handle),
        post("/sign-in/redeem", pages::sign_in::redeem::handle),
        post("/sign-out", pages::sign_out::handle),
        //
        get("/setup/status", setup::status::handle),
        get("/setup/health", setup::health::handle),
        post("/setup/doctor", setup::doctor::create::handle),
        get("/setup/doctor", setup::doctor::last::handle),
        get("/setup/doctor/{run}", setup::doctor::show::handle),
        get("/setup/pause", setup::pause::show::handle),
        post("/setup/pause", setup::pause::create::handle),
        delete("/setup/pause", setup::pause::delete::handle),
        get("/setup/clusters", setup::clusters::list::handle),
        post("/setup/clusters", setup::clusters::create::handle),
        get("/setup/clusters/{cluster}", setup::clusters::show::handle),
        patch("/setup/clusters/{cluster}", setup::clusters::update::handle),
        delete("/setup/clusters/{cluster}", setup::clusters::remove::handle),
        post(
            "/setup/clusters/{cluster}/drain",
            setup::clusters::drain::handle,
        ),
        post(
            "/setup/clusters/{cluster}/accept",
            setup::clusters::accept::handle,
        ),
        get("/setup/routers", setup::routers::list::handle),
        get("/setup/top", setup::top::handle),
        post("/setup/tenants", setup::tenants::create::handle),
        get("/setup/tenants", setup::tenants::list::handle),
        get("/setup/tenants/{tenant}", setup::tenants::show::handle),
        delete("/setup/tenants/{tenant}", setup::tenants::delete::handle),
        patch("/setup/tenants/{tenant}", setup::tenants::update::handle),
        get(
            "/setup/tenants/{tenant}/explain",
            setup::tenants::explain::handle,
        ),
        post(
            "/setup/tenants/{tenant}/undelete",
            setup::tenants::undelete::handle,
        ),
        post(
            "/setup/tenants/{tenant}/unadopt",
            setup::tenants::unadopt::handle,
        ),
        post(
            "/setup/tenants/{tenant}/suspend",
            setup::tenants::suspend::handle,
        ),
        post(
            "/setup/tenants/{tenant}/resume",
            setup::tenants::resume::handle,
        ),
        post(
            "/setup/tenants/{tenant}/rename",
            setup::tenants::rename::handle,
        ),
        post(
            "/setup/tenants/{tenant}/disconnect",
            setup::tenants::disconnect::handle,
        ),
        post(
            "/setup/tenants/{tenant}/rotate-credentials",
            setup::tenants::rotate_credentials::handle,
        ),
        post(
            "/setup/tenants/{tenant}/credentials",
            setup::tenants::credentials::create::handle,
        ),
        post(
            "/setup/tenants/{tenant}/logins",
            setup::tenants::logins::create::handle,
        ),
        get(
            "/setup/tenants/{tenant}/logins",
            setup::tenants::logins::list::handle,
        ),
        delete(
            "/setup/tenants/{tenant}/logins/{login}",
            setup::tenants::logins::delete::handle,
        ),
        get(
            "/setup/tenants/{tenant}/domains",
            setup::tenants::domains::list::handle,
        ),
        put(
            "/setup/tenants/{tenant}/domains/{domain}",
            setup::tenants::domains::put::handle,
        ),
        delete(
            "/setup/tenants/{tenant}/domains/{domain}",
            setup::tenants::domains::delete::handle,
        ),
        post(
            "/setup/tenants/{tenant}/domains/{domain}/verify",
            setup::tenants::domains::verify::handle,
        ),
        get(
            "/setup/tenants/{tenant}/aliases",
            setup::tenants::aliases::list::handle,
        ),
        put(
            "/setup/tenants/{tenant}/aliases",
            setup::tenants::aliases::put::handle,
        ),
        delete(
            "/setup/tenants/{tenant}/aliases",
            setup::tenants::aliases::delete::handle,
        ),
        get("/setup/operations", setup::operations::list::handle),
        get(
            "/setup/operations/{operation}",
            setup::operations::show::handle,
        ),
        get(
            "/setup/operations/{operation}/events",
            setup::operations::events::handle,
        ),
        post(
            "/setup/operations/{operation}/cancel",
            setup::operations::cancel::handle,
        ),
        post(
            "/setup/operations/{operation}/retry",
            setup::operations::retry::handle,
        ),
        post(
            "/setup/operations/{operation}/abandon",
            setup::operations::abandon::handle,
        ),
        post("/setup/adoptions", setup::adoptions::create::handle),
        post("/setup/adoptions/check", setup::adoptions::check::handle),
        post("/setup/rollouts", setup::rollouts::create::handle),
        post("/setup/rotations", setup::rotations::create::handle),
        post("/setup/operators", setup::operators::create::handle),
        get("/setup/operators", setup::operators::list::handle),
        patch(
            "/setup/operators/{operator}",
            setup::operators::update::handle,
        ),
        post(
            "/setup/operators/{operator}/rotate",
            setup::operators::rotate::handle,
        ),
        delete(
            "/setup/operators/{operator}",
            setup::operators::revoke::handle,
        ),
        get("/setup/audit", setup::audit::list::handle),
        get("/setup/audit/export", setup::audit::export::handle),
        get("/setup/audit/verify", setup::audit::verify::handle),
        get("/setup/audit/denied", setup::audit::denied::handle),
        //
        post("/auth/login", base::auth::login::handle),
        //
        post("/auth/login", tenant::auth::login::handle),
        post("/auth/redeem", tenant::auth::redeem::handle),
        post("/auth/refresh", tenant::auth::refresh::handle),
        post("/auth/logout", tenant::auth::logout::handle),
        get("/me", tenant::me::handle),
        get("/users", tenant::users::list::handle),
        post("/users", tenant::users::create::handle),
        get("/users/{user}", tenant::users::show::handle),
        patch("/users/{user}", tenant::users::update::handle),
        delete("/users/{user}", tenant::users::delete::handle),
        get("/roles", tenant::roles::list::handle),
        get("/permissions", tenant::permissions::list::handle),
    ]
}

/// The table, for documentation and for a test that tries every route with every kind of token.
#[must_use]
pub fn table() -> &'static [RouteInfo] {
    static TABLE: LazyLock<Vec<RouteInfo>> =
        LazyLock::new(|| ROUTES.iter().map(|route| route.info.clone()).collect());
    &TABLE
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method. `GET` answers `HEAD` as well.
    pub method: Method,
    /// The path, with `{name}` for one segment.
    pub path: &'static str,
    /// Where it answers.
    pub host: HostKind,
    /// Who may call it.
    pub access: Access,
}

/// Where a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// At a base domain only.
    Base,
    /// At a tenant's host; at a base domain when something else names the tenant, see
    /// `context/chain.rs`.
    Tenant,
    /// At any host, known or not.
    Any,
}

/// What a host leads to, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Base,
    Tenant,
    Nowhere,
}

impl HostKind {
    /// Whether a route of this kind answers there.
    pub(crate) const fn answers_at(self, place: Place) -> bool {
        match (self, place) {
            (Self::Any, _) | (Self::Base | Self::Tenant, Place::Base) => true,
            (Self::Tenant, Place::Tenant) => true,
            (Self::Base, Place::Tenant) | (Self::Base | Self::Tenant, Place::Nowhere) => false,
        }
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Public,
    /// Whoever holds an operator token of a role that has this right.
    Operator(Right),
    /// A signed-in user of the tenant who holds this permission (`resource:action`); `own` is held
    /// by every one of them.
    User(&'static str),
}

/// The routes with what makes their handlers.
pub(crate) static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(all);

/// One route.
pub(crate) struct Route {
    pub(crate) info: RouteInfo,
    pub(crate) filter: MethodFilter,
    make: Box<dyn Fn() -> MethodRouter<App> + Send + Sync>,
}

impl Route {
    /// The other meaning of the same method and path, at another kind of host.
    pub(crate) fn twin(&self) -> Option<&'static Self> {
        ROUTES.iter().find(|other| {
            (&other.info.method, other.info.path) == (&self.info.method, self.info.path)
                && other.info.host != self.info.host
        })
    }

    pub(crate) fn method_router(&self) -> MethodRouter<App> {
        (self.make)()
    }
}

/// The arguments of a handler, of which the first says who may call it.
pub(crate) trait Guarded {
    type Guard: Guard;
}

macro_rules! guarded {
    ($($rest:ident),*) => {
        impl<M, G: Guard, $($rest),*> Guarded for (M, G, $($rest,)*) {
            type Guard = G;
        }
    };
}
guarded!();
guarded!(A);
guarded!(A, B);
guarded!(A, B, C);
guarded!(A, B, C, D);

fn route<H, T>(method: Method, filter: MethodFilter, path: &'static str, handler: H) -> Route
where
    H: Handler<T, App> + Sync,
    T: Guarded + 'static,
{
    Route {
        info: RouteInfo {
            method,
            path,
            host: T::Guard::HOST,
            access: T::Guard::access(),
        },
        filter,
        make: Box::new(move || on(filter, handler.clone())),
    }
}

fn get<H: Handler<T, App> + Sync, T: Guarded + 'static>(path: &'static str, handler: H) -> Route {
    route(Method::GET, MethodFilter::GET, path, handler)
}

fn post<H: Handler<T, App> + Sync, T: Guarded + 'static>(path: &'static str, handler: H) -> Route {
    route(Method::POST, MethodFilter::POST, path, handler)
}

fn put<H: Handler<T, App> + Sync, T: Guarded + 'static>(path: &'static str, handler: H) -> Route {
    route(Method::PUT, MethodFilter::PUT, path, handler)
}

fn patch<H: Handler<T, App> + Sync, T: Guarded + 'static>(path: &'static str, handler: H) -> Route {
    route(Method::PATCH, MethodFilter::PATCH, path, handler)
}

fn delete<H: Handler<T, App> + Sync, T: Guarded + 'static>(
    path: &'static str,
    handler: H,
) -> Route {
    route(Method::DELETE, MethodFilter::DELETE, path, handler)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_is_listed_twice_but_for_the_base_domain_and_for_tenants() {
        for (index, route) in table().iter().enumerate() {
            let twins: Vec<_> = table()[index + 1..]
                .iter()
                .filter(|other| (&other.method, other.path) == (&route.method, route.path))
                .map(|other| other.host)
                .collect();
            assert!(
                matches!(
                    (route.host, &twins[..]),
                    (_, []) | (HostKind::Base, [HostKind::Tenant])
                ),
                "{route:?} {twins:?}"
            );
        }
    }

    #[test]
    fn setup_is_for_operators_at_the_base_domain_and_nothing_else_is() {
        for route in table() {
            let setup = route.path.starts_with("/setup/");
            let about = route.path == "/openapi.json" || route.path.starts_with("/docs");
            assert_eq!(
                matches!(route.access, Access::Operator(_)),
                setup,
                "{route:?}"
            );
            assert!(
                !(setup || about) || route.host == HostKind::Base,
                "{route:?}"
            );
        }
    }

    #[test]
    fn only_these_routes_are_the_base_domains_own_beside_setup() {
        let own: Vec<_> = table()
            .iter()
            .filter(|route| {
                route.host == HostKind::Base && !matches!(route.access, Access::Operator(_))
            })
            .map(|route| (route.method.as_str(), route.path))
            .collect();
        let wanted = [
            ("GET", "/openapi.json"),
            ("GET", "/docs"),
            ("GET", "/docs/{asset}"),
            ("POST", "/auth/login"),
        ];
        assert_eq!(own, wanted);
    }

    #[test]
    fn each_kind_of_host_has_its_own_routes() {
        let at = |place: Place| {
            let answering = table().iter().filter(|route| route.host.answers_at(place));
            answering.map(|route| route.path).collect::<Vec<_>>()
        };
        let tenant = at(Place::Tenant);
        assert!(tenant.contains(&"/me") && tenant.contains(&"/healthz"));
        assert!(tenant.iter().all(|path| !path.starts_with("/setup")));
        assert_eq!(
            at(Place::Nowhere),
            ["/healthz", "/readyz", "/.well-known/jwks.json"]
        );
        assert_eq!(at(Place::Base).len(), table().len());
    }

    #[test]
    fn only_these_routes_are_public() {
        let public: Vec<_> = table()
            .iter()
            .filter(|route| route.access == Access::Public)
            .map(|route| route.path)
            .collect();
        assert_eq!(
            public,
            [
                "/healthz",
                "/readyz",
                "/.well-known/jwks.json",
                "/openapi.json",
                "/docs",
                "/docs/{asset}",
                "/",
                "/sign-in",
                "/sign-in",
                "/sign-in/redeem",
                "/sign-out",
                "/auth/login",
                "/auth/login",
                "/auth/redeem",
                "/auth/refresh",
                "/auth/logout"
            ]
        );
    }

    #[test]
    fn the_permission_is_the_one_of_the_handlers_type() {
        let of = |method: Method, path: &str| {
            let found = table()
                .iter()
                .find(|route| route.method == method && route.path == path);
            found.expect("a route").access
        };
        assert_eq!(of(Method::GET, "/users"), Access::User("users:list"));
        assert_eq!(
            of(Method::PATCH, "/users/{user}"),
            Access::User("users:update")
        );
        assert_eq!(of(Method::GET, "/me"), Access::User("own"));
    }
}
