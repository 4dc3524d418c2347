//! The one place where the parts are put together, and where keys are split by purpose: the router
//! gets what opens tenants' logins, the lifecycle what opens admin logins, the API what signs.

use std::time::Duration;

use sqlx::PgPool;
use tenantry_api::internal::InternalDeps;
use tenantry_api::{Api, ApiConfig, ApiDeps};
use tenantry_catalog::{ON_THE_WAY, clusters, installation, router_login};
use tenantry_lifecycle::dump::{Dumps, Programs};
use tenantry_lifecycle::{Deps, Lifecycle};
use tenantry_router::Router;
use tenantry_tenantdb::passwords::Hashing;
use tenantry_types::{Clock, DomainName, Entropy, InstallationId, Secret};
use tenantry_vault::{Keyring, Place};
use tokio::task::AbortHandle;

use crate::catalog_url;
use crate::config::{Config, Naming};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::faults;
use crate::metrics::{Metrics, Sources};

/// How often it is written down who was refused at the setup API.
const DENIALS_KEPT_EVERY: Duration = Duration::from_secs(5);
/// Connections of the router to the catalog: one listens, the others read routes.
const ROUTER_CATALOG_CONNECTIONS: u32 = 8;
/// How long each part may take to end.
const END: Duration = Duration::from_secs(10);
/// What is added to a bound that is kept inside already.
const MARGIN: Duration = Duration::from_secs(1);

/// All parts, ready to serve.
pub struct Composed {
    service: axum::Router,
    api: Api,
    internal_hosts: Vec<DomainName>,
    lifecycle: Lifecycle,
    router: Router,
    pools: [PgPool; 2],
    templates: AbortHandle,
    denials: AbortHandle,
    readings: Sources,
}

/// Puts all parts together. The catalog must be migrated and initialised.
///
/// # Errors
/// When the catalog cannot be used as it is, with what to do about it.
pub async fn compose(config: &Config) -> Result<Composed> {
    let keys = config.catalog.keyring()?.ok_or_else(no_keys)?;
    let faults = faults::asked_for()?;
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let catalog =
        catalog_url::connect_pool(config.catalog.url()?, config.catalog.catalog_connections)
            .await?;
    let installation = ready(&catalog, &keys).await?;
    let router_url = router_url(config, &catalog, &keys, &entropy, installation).await?;
    let router_catalog = router_catalog(&router_url).await?;
    let router = start_router(
        config,
        &router_catalog,
        &keys,
        installation,
        &clock,
        &entropy,
    )
    .await?;
    // One for the whole process: it bounds how many passwords are hashed at once.
    let hashing = Hashing::new(&entropy);
    let lifecycle = Lifecycle::new(Deps {
        catalog: catalog.clone(),
        admin_keys: keys.admin(),
        route_keys: keys.route(),
        directory: keys.directory(),
        router: router.clone(),
        installation,
        hashing: hashing.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        settings: lifecycle_settings(config),
        faults,
    });
    let api = Api::new(ApiDeps {
        lifecycle: lifecycle.clone(),
        router: router.clone(),
        catalog: catalog.clone(),
        signing: keys.signing(),
        directory: keys.directory(),
        hashing,
        clock: clock.clone(),
        entropy,
        config: api_config(config)?,
    });
    let denials = tokio::spawn(keep_denials(api.clone())).abort_handle();
    let templates =
        tokio::spawn(prepare_templates(catalog.clone(), lifecycle.clone())).abort_handle();
    let pools = [catalog, router_catalog];
    Ok(Composed {
        service: api.service(),
        api,
        internal_hosts: config.internal.hosts()?,
        lifecycle,
        readings: Sources::new(router.clone(), pools.clone(), &clock),
        router,
        pools,
        templates,
        denials,
    })
}

/// The router and nothing else, for a product's own server.
///
/// # Errors
/// As [`compose`].
pub async fn router_alone(config: &Config) -> Result<Router> {
    let keys = config.catalog.keyring()?.ok_or_else(no_keys)?;
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let catalog = catalog_url::connect_pool(config.catalog.url()?, 1).await?;
    let installation = ready(&catalog, &keys).await?;
    let url = router_url(config, &catalog, &keys, &entropy, installation).await?;
    catalog.close().await;
    let catalog = router_catalog(&url).await?;
    start_router(config, &catalog, &keys, installation, &clock, &entropy).await
}

async fn router_catalog(url: &Secret) -> Result<PgPool> {
    tenantry_catalog::connect(
        url,
        ROUTER_CATALOG_CONNECTIONS,
        ON_THE_WAY,
        "tenantry/router",
    )
    .await
    .map_err(|error| catalog_url::catalog_failure("the router cannot use the catalog", &error))
}

impl Composed {
    /// What answers requests.
    pub fn service(&self) -> &axum::Router {
        &self.service
    }

    /// What answers on the internal listener.
    pub fn internal(&self, metrics: &Metrics) -> axum::Router {
        self.api.internal(InternalDeps {
            render: metrics.render(self.readings.clone()),
            hosts: self.internal_hosts.clone(),
        })
    }

    /// What is read for metrics.
    pub fn readings(&self) -> Sources {
        self.readings.clone()
    }

    /// Begins the work that nobody asked for: operations left over, grace periods that ended.
    pub fn start(&self) {
        self.lifecycle.start_workers();
    }

    /// Ends workers, then connections to tenants, then those to the catalog.
    pub async fn shutdown(self) {
        self.templates.abort();
        within("workers", END, self.lifecycle.shutdown()).await;
        self.denials.abort();
        within("the count of refusals", END, async {
            if let Err(error) = self.api.flush_denied().await {
                tracing::warn!(
                    error = crate::failure::chain(&error),
                    "who was refused at the setup API lately could not be kept"
                );
            }
        })
        .await;
        // It has bounds of its own for each step; cut short, it would not say goodbye.
        let bound = self.router.shutdown_bound() + MARGIN;
        within("the router", bound, self.router.shutdown()).await;
        for pool in &self.pools {
            within("a catalog pool", END, pool.close()).await;
        }
    }
}

async fn within(what: &'static str, bound: Duration, end: impl Future<Output = ()>) {
    if tokio::time::timeout(bound, end).await.is_err() {
        tracing::warn!(
            what,
            seconds = bound.as_secs(),
            "did not end in time and is left behind"
        );
    }
}

/// Writes into the catalog who was refused at the setup API.
async fn keep_denials(api: Api) {
    loop {
        tokio::time::sleep(DENIALS_KEPT_EVERY).await;
        if let Err(error) = api.flush_denied().await {
            tracing::debug!(
                error = crate::failure::chain(&error),
                "who was refused at the setup API could not be kept; trying again"
            );
        }
    }
}

/// Makes the database to clone from, so that the first customer does not wait for it.
async fn prepare_templates(catalog: PgPool, lifecycle: Lifecycle) {
    let all = async { clusters::list(&mut *catalog.acquire().await?).await };
    let all = match all.await {
        Ok(all) => all,
        Err(error) => {
            return tracing::warn!(
                error = crate::failure::chain(&error),
                "clusters cannot be listed"
            );
        }
    };
    for cluster in all.into_iter().filter(|cluster| cluster.accepts) {
        if lifecycle.until_unpaused().await.is_err() {
            return;
        }
        if let Err(error) = lifecycle.ensure_template(cluster.id).await {
            tracing::warn!(
                cluster = cluster.name,
                error = crate::failure::chain(&error),
                "the template is not ready; the next creation makes it"
            );
        }
    }
}

/// Whether this catalog is migrated, initialised, and opens with these keys.
///
/// # Errors
/// When it is not, with what to do.
pub async fn ready(catalog: &PgPool, keys: &Keyring) -> Result<InstallationId> {
    let failed = |error| catalog_url::catalog_failure("the catalog cannot be used", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    tenantry_catalog::check_migrated(&mut conn)
        .await
        .map_err(failed)?;
    let installation = installation::get(&mut conn)
        .await
        .map_err(failed)?
        .ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                "the catalog is migrated but was never initialised",
            )
            .next("run `tenantry init --cluster-url …`")
        })?;
    if let Some(cluster) = clusters::default(&mut conn).await.map_err(failed)? {
        keys.admin()
            .open(&Place::cluster_admin(cluster.id), &cluster.admin)
            .map_err(|_| wrong_keys())?;
    }
    Ok(installation)
}

/// The catalog as the router sees it: with its own login where there is one.
async fn router_url(
    config: &Config,
    catalog: &PgPool,
    keys: &Keyring,
    entropy: &Entropy,
    installation: InstallationId,
) -> Result<Secret> {
    if let Some(url) = &config.catalog.router_catalog_url {
        return Ok(url.clone());
    }
    let failed =
        |error| catalog_url::catalog_failure("the router's login cannot be prepared", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let login = router_login::ensure(&mut conn, &keys.route(), entropy, installation)
        .await
        .map_err(failed)?;
    let url = config.catalog.url()?;
    match login {
        Some((name, password)) => catalog_url::as_login(url, &name, &password),
        None => {
            tracing::warn!(
                "the router uses the control plane's own login to the catalog; set `router_catalog_url` to one that reads only what routing needs"
            );
            Ok(url.clone())
        }
    }
}

async fn start_router(
    config: &Config,
    catalog: &PgPool,
    keys: &Keyring,
    installation: InstallationId,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Router> {
    let settings = &config.router;
    let router = tenantry_router::Config {
        base_domains: config.web.domains()?,
        per_tenant_max: settings.per_tenant_max,
        plan_max: settings.plan_max.clone(),
        waiters_per_tenant: settings.waiters_per_tenant,
        waiters_per_cluster: settings.waiters_per_cluster,
        connects_in_flight: settings.connects_in_flight,
        idle: settings.idle,
        acquire_wait: settings.acquire_wait,
        connect_timeout: settings.connect_timeout,
        cache_capacity: settings.cache_capacity,
        cache_ttl: settings.cache_ttl,
        negative_ttl: settings.negative_ttl,
        negative_capacity: settings.negative_capacity,
        lease: settings.lease,
        poll: settings.poll,
        listen: settings.listen,
        away: settings.away,
        drain_deadline: settings.drain_deadline,
        ..tenantry_router::Config::default()
    };
    let name = replica(config);
    Router::start(
        router,
        catalog.clone(),
        keys.route(),
        installation,
        clock.clone(),
        entropy.clone(),
        &name,
    )
    .await
    .map_err(|error| Failure::of_kind(error.kind(), "the router cannot be started", &error))
}

/// What this process is called beside others of the installation.
fn replica(config: &Config) -> String {
    format!("{}@{}", std::process::id(), config.web.listen)
}

fn lifecycle_settings(config: &Config) -> tenantry_lifecycle::Settings {
    tenantry_lifecycle::Settings {
        purge_after: config.tenants.purge_after,
        redirect_after_rename: config.tenants.redirect_after_rename,
        naming: match config.tenants.names {
            Naming::Readable => tenantry_lifecycle::Naming::Readable,
            Naming::Opaque => tenantry_lifecycle::Naming::Opaque,
        },
        spares: config.tenants.spares,
        spares_max: config.tenants.spares_max,
        doctor_every: config.tenants.doctor_every,
        replica: replica(config),
        dumps: config.dumps.dir.clone().map(|folder| Dumps {
            folder,
            before_purge: config.dumps.before_purge,
            keep: config.dumps.keep,
            programs: Programs::of(config.dumps.pg_bin.clone()),
        }),
        dns_resolver: config.tenants.dns_resolver,
        domain_recheck: config.tenants.domain_recheck,
        domain_lapse_after: config.tenants.domain_lapse_after,
        rotation_every: config.rotation.every,
        rotation_jitter: config.rotation.jitter,
        rotation_wait: config.rotation.wait,
        rotations_at_once: config.rotation.at_once,
        ..tenantry_lifecycle::Settings::default()
    }
}

fn api_config(config: &Config) -> Result<ApiConfig> {
    let public = config.web.public()?;
    Ok(ApiConfig {
        base_domains: config.web.domains()?,
        allow_tenant_header: config.web.allow_tenant_header,
        alias_headers: config.web.alias_headers,
        trusted_proxies: config.web.proxies()?,
        forwarded_host: config.web.forwarded_host,
        secure_cookies: config.web.secure_cookies,
        body_limit: config.limits.body_limit,
        request_timeout: config.limits.request_timeout,
        access_token_ttl: config.web.access_token_ttl,
        refresh_token_ttl: config.web.refresh_token_ttl,
        sign_in_tenants: config.sign_in.sign_in_tenants,
        sign_in_floor: config.sign_in.sign_in_floor,
        sign_in_code_ttl: config.sign_in.sign_in_code_ttl,
        public_scheme: public.scheme,
        public_port: public.port,
        issuer: public.text,
    })
}

/// Nothing can be done without keys.
#[must_use]
pub fn no_keys() -> Failure {
    Failure::usage("no keys are configured")
        .next("set TENANTRY_KEYS, or `keys` in tenantry.toml, to what `tenantry init` printed; where all copies are lost: docs/runbooks/keys-lost.md")
}

fn wrong_keys() -> Failure {
    Failure::usage("the configured keys are not those of this catalog: its secrets do not open")
        .next("set TENANTRY_KEYS to what `tenantry init` printed when this catalog was made; where all copies are lost: docs/runbooks/keys-lost.md")
}
