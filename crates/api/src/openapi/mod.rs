//! The OpenAPI document of all routes, made from the annotations of their handlers.
//!
//! A new route: 1. `#[utoipa::path(…)]` over its handler, with the codes of its own errors
//! in `x-problems` (what every route of its kind answers is added), `ToSchema` on what it reads and
//! tells; 2. the handler's path in the list of its kind of host below; 3. `make openapi`.
//!
//! One method and path may mean one thing at a base domain and another at a tenant's host. OpenAPI
//! has one operation for both: it says in words which is which, its schemas are `anyOf` both and its
//! servers are those of both (see `merge`).

mod assemble;
mod merge;
mod problems;
pub(crate) mod show;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::sync::LazyLock;

use serde_json::{Value, json};
use utoipa::OpenApi;

use crate::routes::HostKind;
use crate::{base, docs, health, jwks, problem, setup, tenant};

/// Pages for people: forms and links, no interface for programs. Not in the document.
#[cfg(test)]
const PAGES: &[&str] = &["/", "/sign-in", "/sign-in/redeem", "/sign-out"];

/// The routes that answer at any host.
#[derive(OpenApi)]
#[openapi(paths(health::healthz, health::readyz, jwks::handle))]
struct AnyHost;

/// The routes of a base domain.
#[derive(OpenApi)]
#[openapi(
    paths(
        show::handle,
        docs::show::handle,
        docs::asset::handle,
        base::auth::login::handle,
        setup::status::handle,
        setup::health::handle,
        setup::doctor::create::handle,
        setup::doctor::last::handle,
        setup::doctor::show::handle,
        setup::pause::show::handle,
        setup::pause::create::handle,
        setup::pause::delete::handle,
        setup::clusters::list::handle,
        setup::clusters::create::handle,
        setup::clusters::show::handle,
        setup::clusters::update::handle,
        setup::clusters::remove::handle,
        setup::clusters::drain::handle,
        setup::clusters::accept::handle,
        setup::routers::list::handle,
        setup::top::handle,
        setup::tenants::create::handle,
        setup::tenants::list::handle,
        setup::tenants::show::handle,
        setup::tenants::explain::handle,
        setup::tenants::delete::handle,
        setup::tenants::undelete::handle,
        setup::tenants::update::handle,
        setup::tenants::unadopt::handle,
        setup::tenants::suspend::handle,
        setup::tenants::resume::handle,
        setup::tenants::rename::handle,
        setup::tenants::disconnect::handle,
        setup::tenants::rotate_credentials::handle,
        setup::tenants::credentials::create::handle,
        setup::tenants::logins::create::handle,
        setup::tenants::logins::list::handle,
        setup::tenants::logins::delete::handle,
        setup::tenants::domains::list::handle,
        setup::tenants::domains::put::handle,
        setup::tenants::domains::delete::handle,
        setup::tenants::domains::verify::handle,
        setup::tenants::aliases::list::handle,
        setup::tenants::aliases::put::handle,
        setup::tenants::aliases::delete::handle,
        setup::operations::list::handle,
        setup::operations::show::handle,
        setup::operations::events::handle,
        setup::operations::cancel::handle,
        setup::operations::retry::handle,
        setup::operations::abandon::handle,
        setup::adoptions::create::handle,
        setup::adoptions::check::handle,
        setup::rollouts::create::handle,
        setup::rotations::create::handle,
        setup::operators::create::handle,
        setup::operators::list::handle,
        setup::operators::update::handle,
        setup::operators::rotate::handle,
        setup::operators::revoke::handle,
        setup::audit::list::handle,
        setup::audit::export::handle,
        setup::audit::verify::handle,
        setup::audit::denied::handle,
    ),
    // Found through no handler: the assembly names them.
    components(schemas(problem::Body))
)]
struct BaseDomain;

/// The routes of a tenant's host.
#[derive(OpenApi)]
#[openapi(paths(
    tenant::auth::login::handle,
    tenant::auth::redeem::handle,
    tenant::auth::refresh::handle,
    tenant::auth::logout::handle,
    tenant::me::handle,
    tenant::users::list::handle,
    tenant::users::create::handle,
    tenant::users::show::handle,
    tenant::users::update::handle,
    tenant::users::delete::handle,
    tenant::roles::list::handle,
    tenant::permissions::list::handle,
))]
struct TenantHost;

/// What the handlers' annotations say, by kind of host.
fn annotated() -> Vec<(HostKind, Value)> {
    vec![
        (HostKind::Any, json!(AnyHost::openapi())),
        (HostKind::Base, json!(BaseDomain::openapi())),
        (HostKind::Tenant, json!(TenantHost::openapi())),
    ]
}

/// The document as text: pretty, with sorted keys, the same on every machine.
#[must_use]
pub fn document() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| format!("{:#}\n", assemble::sorted(assemble::document())));
    &TEXT
}
