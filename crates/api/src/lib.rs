//! The HTTP face: the setup API at the base domain, the tenant API at tenants' hosts.
//!
//! A folder's path is the URL's, a file is the verb: `setup/tenants/create.rs` is
//! `POST /setup/tenants`. Where a path means something else at the base domain than at a tenant's
//! host, `base/` has the one and `tenant/` the other. All URLs are in [`routes`], all layers in `stack`, and `problem` is the one
//! place where an error becomes a response. There is no SQL here, and no connection to a tenant but
//! those that the router leased.
// An optimised build looks through the layers of middleware, one future in the other.
#![recursion_limit = "256"]

mod app;
mod base;
mod config;
mod context;
mod cookies;
mod denied;
mod dispatch;
mod docs;
mod duration;
mod fields;
mod form;
mod health;
pub mod internal;
mod json;
mod jwks;
mod meters;
pub mod openapi;
mod operator_token;
mod pages;
mod problem;
pub mod rights;
pub mod routes;
mod setup;
mod sign_in;
mod slot;
mod stack;
mod tenant;
mod throttle;
mod tokens;
mod told;

use sqlx::PgPool;
use tenantry_lifecycle::Lifecycle;
use tenantry_tenantdb::passwords::Hashing;
use tenantry_types::{Clock, Entropy};
use tenantry_vault::{DirectoryKey, SigningKeys};

pub use config::ApiConfig;
pub use operator_token::{hash_token, new_operator_token};

/// What the HTTP face works with, given to it by the binary.
pub struct ApiDeps {
    /// Begins operations and tells how they went.
    pub lifecycle: Lifecycle,
    /// Finds tenants and leases their connections.
    pub router: tenantry_router::Router,
    /// The catalog, through the control plane's own login.
    pub catalog: PgPool,
    /// Signs access tokens.
    pub signing: SigningKeys,
    /// Finds a mail address in the catalog without showing it.
    pub directory: DirectoryKey,
    /// Hashes passwords; the one that the lifecycle has, so that both share the cores.
    pub hashing: Hashing,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// What an operator may set.
    pub config: ApiConfig,
}

/// The HTTP face of a process, at both its listeners.
#[derive(Clone)]
pub struct Api(app::App);

impl Api {
    /// Puts it together.
    #[must_use]
    pub fn new(deps: ApiDeps) -> Self {
        Self(app::App::new(deps))
    }

    /// What the public listener serves, with `into_make_service_with_connect_info::<SocketAddr>()`: the
    /// client's address is needed to slow down the guessing of passwords.
    pub fn service(&self) -> axum::Router {
        stack::stack(self.0.clone())
    }

    /// Writes into the catalog who was refused at the setup API since it was last called.
    ///
    /// # Errors
    /// When the catalog does not answer; nothing is lost by that.
    pub async fn flush_denied(&self) -> Result<(), tenantry_catalog::CatalogError> {
        self.0.denials.flush(&self.0.catalog).await
    }

    /// What the internal listener serves.
    pub fn internal(&self, deps: internal::InternalDeps) -> axum::Router {
        internal::service(self.0.clone(), deps)
    }
}
