//! `tenantry router-credentials`: what a product is given that has the router inside, and no more than
//! that: the route keys, the catalog with the login that reads only what routing needs.

use clap::Args;
use serde_json::json;
use tenantry_catalog::router_login;
use tenantry_types::{InstallationId, Secret};
use tenantry_vault::Keyring;

use super::Global;
use crate::bootstrap::Sources;
use crate::catalog_url::{self, catalog_failure};
use crate::client;
use crate::compose;
use crate::config::{Config, Overrides, Variables};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, note};

const EXAMPLES: &str = "\
Examples:
  tenantry router-credentials > product.env           (where `tenantry dev` runs)
  tenantry --config /etc/tenantry/tenantry.toml router-credentials
  tenantry router-credentials --output json";

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RouterCredentials {}

impl RouterCredentials {
    /// Runs it.
    ///
    /// # Errors
    /// What stands in the way, with what to do.
    pub async fn run(self, global: &Global) -> Result<()> {
        let config = configuration(global)?;
        let url = config.catalog.url()?;
        let keys = config.catalog.keyring()?.ok_or_else(compose::no_keys)?;
        let catalog = catalog_url::connect(url).await?;
        let installation = compose::ready(&catalog, &keys).await?;
        let url = router_url(&config, &catalog, &keys, installation).await?;
        catalog.close().await;
        let (domains, keys) = (&config.web.base_domains, keys.route_setting());
        match global.output {
            Output::Json => output::json(&json!({
                "routerCatalogUrl": url.expose(),
                "keys": keys.expose(),
                "installationId": installation,
                "baseDomains": domains,
            })),
            Output::Table => {
                for (name, value) in [
                    ("TENANTRY_ROUTER_CATALOG_URL", url.expose()),
                    ("TENANTRY_KEYS", keys.expose()),
                    ("TENANTRY_INSTALLATION", &installation.to_string()),
                    ("TENANTRY_BASE_DOMAINS", &domains.join(",")),
                ] {
                    output::line(&format!("{name}={}", quoted(value)))?;
                }
                note(
                    "For a program that routes: these open tenants' databases as their router login does,",
                );
                note("and no admin's or owner's login. Keep them as you keep a password.");
                Ok(())
            }
        }
    }
}

/// As configured; where nothing is, and `tenantry dev` runs, as that folder's `env` says.
fn configuration(global: &Global) -> Result<Config> {
    let none = Overrides::default();
    let load = |defaults: &Overrides| {
        Config::load(
            global.config.as_deref(),
            &Variables::of_process(),
            defaults,
            &none,
        )
    };
    let config = load(&none)?;
    if config.catalog.catalog_url.is_some() {
        return Ok(config);
    }
    let Some(dev) = client::dev_environment(global)? else {
        return Ok(config);
    };
    let mut defaults = Overrides::default();
    for (key, variable) in [
        ("catalog_url", "TENANTRY_CATALOG_URL"),
        ("keys", "TENANTRY_KEYS"),
    ] {
        if let Some(value) = dev.get(variable) {
            defaults = defaults.text(key, value);
        }
    }
    if let Some(domains) = dev.get("TENANTRY_BASE_DOMAINS") {
        defaults = defaults.list("base_domains", domains.split(','));
    }
    load(&defaults)
}

async fn router_url(
    config: &Config,
    catalog: &sqlx::PgPool,
    keys: &Keyring,
    installation: InstallationId,
) -> Result<Secret> {
    if let Some(url) = &config.catalog.router_catalog_url {
        return Ok(url.clone());
    }
    let failed = |error| {
        catalog_failure(
            "the router's login to the catalog cannot be prepared",
            &error,
        )
    };
    let entropy = Sources::system().entropy;
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let login = router_login::ensure(&mut conn, &keys.route(), &entropy, installation)
        .await
        .map_err(failed)?;
    let Some((name, password)) = login else {
        return Err(Failure::new(
            Exit::NotAllowed,
            "the catalog's login may not make a login for routers, and its own must not be given to a product",
        )
        .next("make one as docs/library.md says, and set `router_catalog_url` to it"));
    };
    catalog_url::replacing_login(config.catalog.url()?, &name, &password)
}

/// As a shell, systemd and compose read it alike: plain, or between single quotes, which no URL has.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/@%+=".contains(c);
    match value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "%27")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("postgres://u:p@h:1/db"), "postgres://u:p@h:1/db");
        assert_eq!(quoted("postgres:///d?a=b&c=d"), "'postgres:///d?a=b&c=d'");
    }
}
