//! `tenantry router-credentials`: what a product is given that has the router inside, and no more than
//! that: the route keys, the catalog with the login that reads only what routing needs.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
  tenantry router-credentials --out product.env       (where `tenantry dev` runs)
  tenantry --config /etc/tenantry/tenantry.toml router-credentials --out product.env
  tenantry router-credentials --output json";

/// Where they go.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RouterCredentials {
    /// Write the variables to a new file that only you can read. One that is there is left as it is.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

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
        let variables = [
            ("TENANTRY_ROUTER_CATALOG_URL", url.expose()),
            ("TENANTRY_KEYS", keys.expose()),
            ("TENANTRY_INSTALLATION", &installation.to_string()),
            ("TENANTRY_BASE_DOMAINS", &domains.join(",")),
        ]
        .map(|(name, value)| format!("{name}={}", quoted(value)));
        match (&self.out, global.output) {
            (Some(file), output) => {
                write(file, &Secret::new(variables.join("\n") + "\n"))?;
                if output == Output::Json {
                    return output::json(&json!({ "file": file.display().to_string() }));
                }
                note(&format!("Written to {}.", file.display()));
            }
            (None, Output::Json) => {
                return output::json(&json!({
                    "routerCatalogUrl": url.expose(),
                    "keys": keys.expose(),
                    "installationId": installation,
                    "baseDomains": domains,
                }));
            }
            (None, Output::Table) => {
                for variable in &variables {
                    output::line(variable)?;
                }
            }
        }
        note(
            "For a program that routes: these open tenants' databases as their router login does,",
        );
        note("and no admin's or owner's login. Keep them as you keep a password.");
        Ok(())
    }
}

/// A file that others may read, or that was made by somebody else, is never written to.
fn write(path: &Path, text: &Secret) -> Result<()> {
    let failed = |error: std::io::Error| {
        let exit = match error.kind() {
            ErrorKind::AlreadyExists => Exit::Conflict,
            _ => Exit::Failed,
        };
        let next = match error.kind() {
            ErrorKind::AlreadyExists => "remove it, or name another",
            _ => "name a file in a folder that you may write to",
        };
        let what = format!("{} cannot be made: {error}", path.display());
        Failure::new(exit, what).next(next)
    };
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let written = file
        .write_all(text.expose().as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // It is ours, and half of it is of no use to anybody.
        let _ = fs::remove_file(path);
        failed(error)
    })
}

/// As configured; where nothing is, and `tenantry dev` runs, as that folder's `env` says.
pub(super) fn configuration(global: &Global) -> Result<Config> {
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
        check(url).await?;
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

/// A login that somebody else made, before it is given away: the catalog's own, put there by mistake,
/// opens all that the catalog holds.
async fn check(url: &Secret) -> Result<()> {
    let failed = |error| {
        catalog_failure(
            "the login of `router_catalog_url` cannot be looked at",
            &error,
        )
    };
    let catalog = catalog_url::connect(url).await?;
    let mut conn = catalog
        .acquire()
        .await
        .map_err(|error| failed(error.into()))?;
    let more = router_login::beyond_routing(&mut conn)
        .await
        .map_err(failed)?;
    drop(conn);
    catalog.close().await;
    match more.as_slice() {
        [] => Ok(()),
        more => Err(Failure::new(
            Exit::NotAllowed,
            format!(
                "the login of `router_catalog_url` may do more than a router needs, and must not be given to a product: {}",
                more.join(", ")
            ),
        )
        .next("take these rights from it, or make a login as docs/library.md says")),
    }
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
