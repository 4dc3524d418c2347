//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tenantry_catalog::CatalogError;
use tenantry_lifecycle::Lifecycle;
use tenantry_router::Router;
use tenantry_tenantdb::passwords::Hashing;
use tenantry_types::{Clock, Entropy, Timestamp};
use tenantry_vault::DirectoryKey;
use tokio::sync::Semaphore;

use crate::ApiDeps;
use crate::config::ApiConfig;
use crate::denied::Denials;
use crate::meters::Meters;
use crate::pages::Renewals;
use crate::problem::Problem;
use crate::throttle::Throttle;
use crate::tokens::Tokens;

/// The state of the HTTP face; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) router: Router,
    pub(crate) catalog: PgPool,
    pub(crate) tokens: Tokens,
    pub(crate) throttle: Throttle,
    pub(crate) renewals: Renewals,
    pub(crate) hashing: Hashing,
    pub(crate) directory: DirectoryKey,
    pub(crate) clock: Clock,
    pub(crate) started_at: Timestamp,
    pub(crate) entropy: Entropy,
    pub(crate) config: ApiConfig,
    pub(crate) meters: Arc<Meters>,
    pub(crate) denials: Denials,
    /// The turn to look through the audit trail.
    pub(crate) verifying: Semaphore,
    /// Turns to ask the catalog whose an operator token is. Anyone can ask that with tokens they
    /// made up; the catalog's other connections stay for those who are known.
    pub(crate) token_turns: Semaphore,
}

impl App {
    pub(crate) fn new(deps: ApiDeps) -> Self {
        let config = deps.config;
        let meters = Arc::new(Meters::new());
        Self(Arc::new(Inner {
            tokens: Tokens::new(
                &deps.signing,
                config.issuer.clone(),
                config.access_token_ttl,
            ),
            throttle: Throttle::new(deps.clock.clone(), Arc::clone(&meters)),
            renewals: Renewals::new(),
            hashing: deps.hashing,
            directory: deps.directory,
            lifecycle: deps.lifecycle,
            router: deps.router,
            catalog: deps.catalog,
            denials: Denials::new(deps.clock.clone()),
            started_at: deps.clock.now(),
            clock: deps.clock,
            entropy: deps.entropy,
            config,
            meters,
            verifying: Semaphore::new(1),
            token_turns: Semaphore::new(4),
        }))
    }

    /// A connection to the catalog.
    pub(crate) async fn catalog(&self) -> Result<PoolConnection<Postgres>, Problem> {
        Ok(self.catalog.acquire().await.map_err(CatalogError::from)?)
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
