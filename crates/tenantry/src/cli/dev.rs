//! `tenantry dev`: everything on this machine, with a private Postgres.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use sqlx::PgPool;
use tenantry_catalog::clusters::TlsMode;
use tenantry_catalog::operators::{self, Holder};
use tenantry_types::{DbName, Secret};

use super::Global;
use crate::bootstrap::{self, Sources};
use crate::catalog_url::{self, catalog_failure};
use crate::cluster_url::ClusterUrl;
use crate::compose::compose;
use crate::config::{Config, Overrides, Variables};
use crate::dev::{EnvFile, Folder, Postgres, Secrets, Wishes, banner, folder, postgres};
use crate::failure::Result;
use crate::internal::Internal;
use crate::listen::Listeners;
use crate::output::{self, Output, Progress};
use crate::run;
use crate::stop::Stop;

/// The operator whose token lies in the folder.
const OPERATOR: &str = "dev";
/// The private server as a cluster.
const CLUSTER: &str = "default";

const EXAMPLES: &str = "\
Examples:
  tenantry dev
  tenantry dev --port 4000 --data /var/lib/tenantry";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Dev {
    /// The port to serve on, on the loopback; 0 takes a free one
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// The address and port for `/metrics`, or `off` [default: a free port]
    #[arg(long, value_name = "ADDR")]
    internal_listen: Option<String>,
    /// The folder of Postgres's programs [default: looked for]
    #[arg(long, env = "TENANTRY_PG_BIN", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pg_bin: Option<PathBuf>,
    /// Do not wait for the disk: faster, and a crash of the machine loses the data. For tests
    #[arg(long)]
    ephemeral: bool,
    /// For benchmarks: connections that Postgres accepts at once
    #[arg(long, hide = true, default_value_t = 300)]
    max_connections: u32,
}

impl Dev {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What stands in the way of a start.
    pub async fn run(self, global: &Global) -> Result<()> {
        let stop = Stop::on_signals()?;
        // Nothing is touched before folder, port and configuration are known to be ours and right.
        // A port that another copy on this folder has is told as that, not as a taken port.
        let path = global.data.as_deref().unwrap_or(Path::new(folder::DEFAULT));
        let listeners = Listeners::loopback(self.port).await;
        if !path.exists()
            && let Err(failure) = listeners
        {
            return Err(failure);
        }
        let data = Folder::take(path)?;
        let listeners = listeners?;
        let mut config = configuration(global, &listeners, self.internal_listen.as_deref())?;
        let internal = Internal::bind(&config.internal).await?;
        let sources = Sources::system();
        let secrets = Secrets::ensure(&data, &sources.entropy)?;
        // What goes on is shown on a terminal only: elsewhere the log tells it.
        let mut progress = Progress::of("Starting Postgres", Output::Json);
        let wishes = Wishes {
            bin_dir: self.pg_bin,
            max_connections: self.max_connections,
            durable: !self.ephemeral,
        };
        let starting = Postgres::start(&data, &secrets, wishes);
        let Some(postgres) = stop.unless(starting).await.transpose()? else {
            return Ok(());
        };
        config.catalog.catalog_url = Some(postgres.url(&secrets, postgres::CATALOG));
        config.catalog.router_catalog_url = None;
        config.catalog.keys = Some(secrets.keys.to_setting());
        let room = Room {
            data,
            secrets,
            sources,
            config,
        };
        progress.step("Preparing the catalog");
        let served = room.serve(&postgres, listeners, internal, &stop, progress);
        let served = Box::pin(served).await;
        let stopped = postgres.stop().await;
        served.and(stopped)
    }
}

/// What is there once Postgres runs.
struct Room {
    data: Folder,
    secrets: Secrets,
    sources: Sources,
    config: Config,
}

impl Room {
    async fn serve(
        &self,
        postgres: &Postgres,
        listeners: Listeners,
        internal: Option<Internal>,
        stop: &Stop,
        progress: Progress,
    ) -> Result<()> {
        let internal_url = internal.as_ref().map(Internal::url);
        let starting = async {
            let token = self.prepare(postgres).await?;
            self.write_env(postgres, &token, internal_url.as_deref())?;
            Ok::<_, crate::failure::Failure>((compose(&self.config).await?, token))
        };
        let Some((composed, token)) = Box::pin(stop.unless(starting)).await.transpose()? else {
            return Ok(());
        };
        drop(progress);
        let url = self.config.web.public()?.text;
        output::line(&banner(
            &url,
            internal_url.as_deref(),
            self.data.path(),
            &token,
        ))?;
        run::until_stopped(composed, listeners, internal, stop).await
    }

    /// The catalog, the cluster and the token: made, or found as they were.
    async fn prepare(&self, postgres: &Postgres) -> Result<Secret> {
        let maintenance = postgres.url(&self.secrets, "postgres");
        // Over the loopback there is nobody to hide from; the server has no certificate either.
        let server = ClusterUrl {
            tls: TlsMode::Disable,
            ..ClusterUrl::parse(&maintenance)?
        };
        create_catalog(&maintenance).await?;
        let catalog = catalog_url::connect(self.config.catalog.url()?).await?;
        bootstrap::migrate(&catalog).await?;
        bootstrap::ensure_installation(&catalog, &self.sources).await?;
        let admin = self.secrets.keys.admin();
        bootstrap::ensure_cluster(&catalog, &admin, &self.sources, CLUSTER, &server, true).await?;
        let token = self.token(&catalog).await?;
        catalog.close().await;
        Ok(token)
    }

    /// The token of the folder. If the file was lost or is none of ours, another is issued and the
    /// old one ends.
    async fn token(&self, catalog: &PgPool) -> Result<Secret> {
        let failed = |error| catalog_failure("the operator's token cannot be checked", &error);
        let mut conn = catalog
            .acquire()
            .await
            .map_err(|error| failed(error.into()))?;
        if let Some(text) = self.data.read(folder::OPERATOR_TOKEN)? {
            let token = Secret::new(text.expose().trim());
            let hash = tenantry_api::hash_token(&token);
            let holder = operators::by_token_hash(&mut conn, &hash).await;
            if let Some(Holder::Good(_)) = holder.map_err(failed)? {
                return Ok(token);
            }
        }
        let former = operators::by_ref(&mut conn, OPERATOR).await;
        if let Some(former) = former.map_err(failed)? {
            operators::revoke(&mut conn, former.id)
                .await
                .map_err(failed)?;
        }
        drop(conn);
        let token = bootstrap::issue_token(catalog, &self.sources, OPERATOR).await?;
        self.data.write(
            folder::OPERATOR_TOKEN,
            &Secret::new(format!("{}\n", token.expose())),
        )?;
        Ok(token)
    }

    fn write_env(
        &self,
        postgres: &Postgres,
        token: &Secret,
        internal_url: Option<&str>,
    ) -> Result<()> {
        let web = &self.config.web;
        let public = web.public()?;
        let file = EnvFile::new(
            "Written by `tenantry dev` on each start. Use it with: set -a; . <this file>; set +a",
        )
        .set("TENANTRY_CATALOG_URL", self.config.catalog.url()?.expose())?
        .set("TENANTRY_KEYS", self.secrets.keys.to_setting().expose())?
        .set("TENANTRY_BASE_DOMAINS", &web.base_domains.join(","))?
        .set("TENANTRY_PUBLIC_URL", &public.text)?
        .set(
            "TENANTRY_ALLOW_TENANT_HEADER",
            &web.allow_tenant_header.to_string(),
        )?
        .set("TENANTRY_SECURE_COOKIES", &web.secure_cookies.to_string())?
        .set("TENANTRY_URL", &public.text)?
        .set("TENANTRY_TOKEN", token.expose())?
        .set("TENANTRY_INTERNAL_URL", internal_url.unwrap_or_default())?
        .set("PGHOST", &postgres.host)?
        .set("PGPORT", &postgres.port.to_string())?
        .set("PGUSER", postgres::SUPERUSER)?
        .set("PGPASSWORD", self.secrets.superuser_password.expose())?
        .set("PGDATABASE", "postgres")?;
        self.data.write(folder::ENV, &file.print())
    }
}

/// The file and variables as for `serve`, with what suits one machine.
fn configuration(global: &Global, listeners: &Listeners, internal: Option<&str>) -> Result<Config> {
    let defaults = Overrides::default()
        // Several folders may be served at once.
        .text("internal_listen", "127.0.0.1:0")
        .switch("allow_tenant_header", true)
        .switch("secure_cookies", false);
    let mut flags = Overrides::default().text("listen", listeners.address().to_string());
    if let Some(internal) = internal {
        flags = flags.text("internal_listen", internal);
    }
    let mut config = Config::load(
        global.config.as_deref(),
        &Variables::of_process(),
        &defaults,
        &flags,
    )?;
    // Whatever a shell that read another folder's `env` may say, here people come by this port.
    let domain = config.web.domains()?[0].clone();
    config.web.public_url = Some(format!("http://{domain}:{}", listeners.address().port()));
    config.web.public()?;
    Ok(config)
}

/// Creates the catalog's database where it is missing; it belongs to the product's own login.
async fn create_catalog(maintenance: &Secret) -> Result<()> {
    let failed = |error| catalog_failure("the catalog's database cannot be created", &error);
    let name = DbName::parse(postgres::CATALOG)
        .map_err(|error| crate::failure::Failure::because("the catalog's name", &error))?;
    tenantry_catalog::database::ensure(maintenance, &name)
        .await
        .map(drop)
        .map_err(failed)
}
