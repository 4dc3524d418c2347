//! `tenantry init`: prepares a catalog on the machine that can reach it. Run again, it changes
//! nothing and says so.

use clap::Args;
use serde_json::{Value, json};
use sqlx::PgPool;
use tenantry_catalog::{clusters, installation, operators, router_login};
use tenantry_types::{ClusterId, InstallationId, Secret};
use tenantry_vault::Keyring;

use super::Global;
use crate::bootstrap::{self, Sources};
use crate::catalog_url::{self, catalog_failure};
use crate::cluster_url::ClusterUrl;
use crate::config::{Config, Overrides, Variables};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, note};

/// The operator whose token is printed.
const FIRST_OPERATOR: &str = "first";

const EXAMPLES: &str = "\
Examples:
  export TENANTRY_CATALOG_URL=postgres://admin:…@db.internal/tenantry_catalog
  tenantry init --cluster-url postgres://admin:…@db.internal/postgres
  tenantry init --issue-token ann                        (when the first token was lost)
  tenantry init --cluster-url … --recover                (when the catalog was lost)";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Init {
    /// The first Postgres server for tenants, with its admin login: postgres://admin:password@host:port/postgres
    #[arg(long, env = "TENANTRY_CLUSTER_URL", hide_env_values = true, value_name = "URL", value_parser = super::secret, required_unless_present = "issue_token")]
    cluster_url: Option<Secret>,
    /// Its name
    #[arg(long, default_value = "default", value_name = "NAME")]
    cluster_name: String,
    /// Issue a token under this name though there is an operator already, e.g. when the first token was lost. Of
    /// a catalog that has a cluster nothing else is asked, neither that nor the keys
    #[arg(long, value_name = "NAME")]
    issue_token: Option<String>,
    /// Begin a new catalog for the databases of a lost one, with the keys of then: the installation's id is
    /// read from the marks on the server. `tenantry doctor --rebuild` is next
    #[arg(long)]
    recover: bool,
    /// The id of that installation, where the marks are to be compared with it
    #[arg(long, value_name = "ID", requires = "recover")]
    installation: Option<InstallationId>,
}

/// What was reached.
#[derive(Default)]
struct Answer {
    installation: Option<InstallationId>,
    cluster: Option<ClusterId>,
    token: Option<Secret>,
}

impl Answer {
    fn document(&self, made: Option<&Keyring>) -> Value {
        json!({
            "installationId": self.installation,
            "clusterId": self.cluster,
            "keys": made.map(|keys| keys.to_setting().expose().to_owned()),
            "operatorToken": self.token.as_ref().map(Secret::expose),
        })
    }
}

impl Init {
    /// Runs it.
    ///
    /// # Errors
    /// What stands in the way, with what to do.
    pub async fn run(self, global: &Global) -> Result<()> {
        let none = Overrides::default();
        let config = Config::load(
            global.config.as_deref(),
            &Variables::of_process(),
            &none,
            &none,
        )?;
        let cluster = self.cluster_url.as_ref().map(ClusterUrl::parse);
        let cluster = cluster.transpose()?;
        let sources = Sources::system();
        let catalog = catalog_url::connect(config.catalog.url()?).await?;
        bootstrap::migrate(&catalog).await?;
        if self.issue_token.is_some() && !self.recover && has_clusters(&catalog).await? {
            let done = self.only_a_token(&catalog, &sources, global.output).await;
            catalog.close().await;
            return done;
        }
        let cluster = cluster.ok_or_else(|| {
            Failure::usage("this catalog has no cluster yet").next(
                "give --cluster-url, or set TENANTRY_CATALOG_URL to the catalog that is in use",
            )
        })?;
        let given = config.catalog.keyring()?;
        if given.is_none() && has_clusters(&catalog).await? {
            return Err(Failure::new(
                Exit::Conflict,
                "this catalog was initialised before, with keys that are not configured here",
            )
            .next("set TENANTRY_KEYS to what that `tenantry init` printed"));
        }
        if given.is_none() && self.recover {
            return Err(
                Failure::usage("a catalog is recovered with the keys that it had").next(
                    "set TENANTRY_KEYS to what `tenantry init` printed when that catalog was made",
                ),
            );
        }
        // What can be wrong with the cluster is told before there are keys to keep.
        bootstrap::warn_of(&cluster).await?;
        if !cluster.tls_is_given {
            note(
                "warning: the cluster's URL has no sslmode, so TLS is used if the server offers it, whoever that is; end it with ?sslmode=verify-full where the server has a certificate",
            );
        }
        let (keys, made) = match given {
            Some(keys) => (keys, None),
            None => {
                let keys = Keyring::generate(&sources.entropy);
                (keys.clone(), Some(keys))
            }
        };
        if let (Some(keys), Output::Table) = (&made, global.output) {
            print_keys(keys)?;
        }
        let mut answer = Answer::default();
        let done = self
            .register(&catalog, &keys, &cluster, &sources, &mut answer)
            .await;
        catalog.close().await;
        match global.output {
            // Also after a failure: something may be sealed with keys that exist nowhere else.
            Output::Json if done.is_ok() || made.is_some() => {
                output::json(&answer.document(made.as_ref()))?
            }
            Output::Table if done.is_ok() => self.print(answer.token.as_ref())?,
            _ => {}
        }
        done
    }

    /// The steps that write; `answer` has what they reached.
    async fn register(
        &self,
        catalog: &PgPool,
        keys: &Keyring,
        cluster: &ClusterUrl,
        sources: &Sources,
        answer: &mut Answer,
    ) -> Result<()> {
        let (admin, name) = (keys.admin(), &self.cluster_name);
        let installation = match self.recover {
            true => bootstrap::recover_installation(catalog, cluster, self.installation).await?,
            false => bootstrap::ensure_installation(catalog, sources).await?,
        };
        answer.installation = Some(installation);
        ensure_router_login(catalog, keys, sources, installation).await?;
        answer.cluster =
            Some(bootstrap::ensure_cluster(catalog, &admin, sources, name, cluster, false).await?);
        answer.token = self.token(catalog, sources).await?;
        Ok(())
    }

    /// The way back in for who has the catalog and no token: nothing is registered or looked at.
    async fn only_a_token(
        &self,
        catalog: &PgPool,
        sources: &Sources,
        output: Output,
    ) -> Result<()> {
        let failed = |error| catalog_failure("the installation cannot be read", &error);
        let mut conn = catalog
            .acquire()
            .await
            .map_err(|error| failed(error.into()))?;
        let answer = Answer {
            installation: installation::get(&mut conn).await.map_err(failed)?,
            cluster: None,
            token: self.token(catalog, sources).await?,
        };
        match output {
            Output::Json => output::json(&answer.document(None)),
            Output::Table => self.print_token(answer.token.as_ref()),
        }
    }

    /// The first token, or another one if it was asked for.
    async fn token(&self, catalog: &PgPool, sources: &Sources) -> Result<Option<Secret>> {
        let name = match &self.issue_token {
            Some(name) => name,
            None if has_operators(catalog).await? => return Ok(None),
            None => FIRST_OPERATOR,
        };
        bootstrap::issue_token(catalog, sources, name)
            .await
            .map(Some)
    }

    fn print(&self, token: Option<&Secret>) -> Result<()> {
        note(&format!(
            "The catalog is ready and the cluster `{}` is registered.",
            self.cluster_name
        ));
        self.print_token(token)?;
        note(match self.recover {
            true => {
                "Next: `tenantry doctor --rebuild --dry-run`. Start nothing before the rebuild is done."
            }
            false => "Start with `tenantry serve`.",
        });
        Ok(())
    }

    fn print_token(&self, token: Option<&Secret>) -> Result<()> {
        let Some(token) = token else {
            note(
                "There is an operator already; `tenantry operators create` or `init --issue-token NAME` makes another.",
            );
            return Ok(());
        };
        output::line(&format!("TENANTRY_TOKEN={}", token.expose()))?;
        note("Keep the operator's token now: it is not shown again.");
        Ok(())
    }
}

fn print_keys(keys: &Keyring) -> Result<()> {
    output::line(&format!("TENANTRY_KEYS={}", keys.to_setting().expose()))?;
    note(
        "Keep these keys in a safe place now: they are shown this once, are stored nowhere, and without",
    );
    note(
        "them no database of this catalog can be opened. `tenantry serve` needs them as TENANTRY_KEYS.",
    );
    Ok(())
}

async fn has_clusters(catalog: &PgPool) -> Result<bool> {
    let failed = |error| catalog_failure("the catalog cannot be read", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    Ok(!clusters::list(&mut conn).await.map_err(failed)?.is_empty())
}

async fn has_operators(catalog: &PgPool) -> Result<bool> {
    let failed = |error| catalog_failure("the operators cannot be read", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let all = operators::list(&mut conn).await.map_err(failed)?;
    Ok(all.iter().any(|operator| operator.revoked_at.is_none()))
}

/// Where the catalog's login may not make it, that is said in the log and the router uses the
/// catalog's own login.
async fn ensure_router_login(
    catalog: &PgPool,
    keys: &Keyring,
    sources: &Sources,
    installation: InstallationId,
) -> Result<()> {
    let failed = |error| catalog_failure("the router's login cannot be made", &error);
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    router_login::ensure(&mut conn, &keys.route(), &sources.entropy, installation)
        .await
        .map_err(failed)?;
    Ok(())
}
