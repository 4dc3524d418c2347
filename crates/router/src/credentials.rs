//! What a program is given so that it can route, and no more: how it reads that from its environment
//! and joins the installation with it.
//!
//! `tenantry router-credentials` prints the variables. The keys are those of the purpose `route`, and
//! the login reads of the catalog what routing needs: neither opens an admin's or an owner's login.

use tenantry_catalog::{CatalogError, ON_THE_WAY};
use tenantry_types::{Clock, DomainName, Entropy, InstallationId, Secret};
use tenantry_vault::{KeyError, RouteKeys};

use crate::{Config, Router};

/// The variable with the catalog's URL.
pub const CATALOG_URL: &str = "TENANTRY_ROUTER_CATALOG_URL";
/// The variable with the route keys.
pub const KEYS: &str = "TENANTRY_KEYS";
/// The variable with the installation's id.
pub const INSTALLATION: &str = "TENANTRY_INSTALLATION";
/// The variable with the base domains, between commas.
pub const BASE_DOMAINS: &str = "TENANTRY_BASE_DOMAINS";

/// Connections to the catalog: one listens, the others read routes.
const CATALOG_CONNECTIONS: u32 = 5;

/// What a program needs to route for an installation.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The catalog, with the login that reads only what routing needs.
    pub catalog_url: Secret,
    /// The keys of the purpose `route`.
    pub keys: RouteKeys,
    /// Which installation this is; every database must say the same.
    pub installation: InstallationId,
    /// The domains whose subdomains are tenants.
    pub base_domains: Vec<DomainName>,
}

/// Why an environment holds no credentials. Names the variable, never its value.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A variable is missing.
    #[error("{0} is not set; `tenantry router-credentials` prints it")]
    Missing(&'static str),
    /// The keys are not usable.
    #[error("{KEYS} is not usable")]
    Keys(#[source] KeyError),
    /// The id is none.
    #[error("{INSTALLATION} is no id of an installation")]
    Installation,
    /// One of the base domains is none.
    #[error("{BASE_DOMAINS} is no list of domains between commas")]
    BaseDomains,
}

/// Why a router did not start from its environment.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment is not usable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The catalog is not.
    #[error("the catalog in {CATALOG_URL} cannot be used")]
    Catalog(#[from] CatalogError),
}

impl Credentials {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// The first variable that is missing or not usable.
    pub fn from_env() -> Result<Self, CredentialsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads from wherever a program keeps its settings.
    ///
    /// # Errors
    /// The first variable that is missing or not usable.
    pub fn read(setting: impl Fn(&str) -> Option<String>) -> Result<Self, CredentialsError> {
        let needed = |name| {
            let value = setting(name).filter(|value| !value.trim().is_empty());
            value.ok_or(CredentialsError::Missing(name))
        };
        let catalog_url = Secret::new(needed(CATALOG_URL)?);
        let keys = Secret::new(needed(KEYS)?);
        let installation = needed(INSTALLATION)?;
        let domains = needed(BASE_DOMAINS)?;
        let domains = domains
            .split(',')
            .map(|name| DomainName::parse(name.trim()));
        Ok(Self {
            catalog_url,
            keys: RouteKeys::parse(&keys).map_err(CredentialsError::Keys)?,
            installation: installation
                .trim()
                .parse()
                .map_err(|_| CredentialsError::Installation)?,
            base_domains: domains
                .collect::<Result<_, _>>()
                .map_err(|_| CredentialsError::BaseDomains)?,
        })
    }

    /// Joins the installation: see [`Router::start`]. The base domains are those of the credentials,
    /// whatever `config` says.
    ///
    /// # Errors
    /// When the catalog does not answer or refuses the login.
    pub async fn start(self, config: Config, name: &str) -> Result<Router, CatalogError> {
        let config = Config {
            base_domains: self.base_domains,
            ..config
        };
        let catalog =
            tenantry_catalog::connect(&self.catalog_url, CATALOG_CONNECTIONS, ON_THE_WAY, name)
                .await?;
        let (clock, entropy) = (Clock::system(), Entropy::system());
        let (keys, installation) = (self.keys, self.installation);
        Router::start(config, catalog, keys, installation, clock, entropy, name).await
    }
}

impl Router {
    /// Starts a router with the defaults, as the environment says; `name` is for people who look at
    /// the list of routers. [`Credentials`] is the longer way, with a [`Config`].
    ///
    /// # Errors
    /// When the environment lacks something or the catalog cannot be used.
    pub async fn from_env(name: &str) -> Result<Self, StartError> {
        let credentials = Credentials::from_env()?;
        Ok(credentials.start(Config::default(), name).await?)
    }
}

#[cfg(test)]
mod tests {
    use tenantry_vault::{Keyring, Purpose};

    use super::*;

    fn read(changed: &str, value: Option<&str>) -> Result<Credentials, CredentialsError> {
        let keys = Keyring::generate(&Entropy::system());
        Credentials::read(|name| {
            if name == changed {
                return value.map(|value| match value {
                    "all keys" => keys.to_setting().expose().to_owned(),
                    value => value.to_owned(),
                });
            }
            Some(match name {
                KEYS => keys.route_setting().expose().to_owned(),
                INSTALLATION => "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
                BASE_DOMAINS => "example.com, example.org".to_owned(),
                _ => "postgres://router:secret@127.0.0.1/catalog".to_owned(),
            })
        })
    }

    /// Tried: with empty values let through, a catalog without an address is taken.
    #[test]
    fn the_environment_is_read_and_what_is_wrong_with_it_named() {
        let good = read("", None).expect("credentials");
        assert_eq!(good.base_domains.len(), 2);
        assert!(!format!("{good:?}").contains("secret"), "{good:?}");
        for name in [CATALOG_URL, KEYS, INSTALLATION, BASE_DOMAINS] {
            for value in [None, Some(""), Some(" ")] {
                let told = read(name, value).expect_err(name).to_string();
                assert!(told.contains(name), "{told}");
            }
        }
        for (name, value) in [
            (KEYS, "route:k1:x"),
            (INSTALLATION, "acme"),
            (BASE_DOMAINS, "example.com,,"),
        ] {
            let told = read(name, Some(value)).expect_err(name).to_string();
            assert!(told.contains(name) && !told.contains(value), "{told}");
        }
    }

    /// Tried: with the route keys taken out of a full keyring, all keys are taken.
    #[test]
    fn more_keys_than_a_router_may_have_are_refused() {
        let error = read(KEYS, Some("all keys")).expect_err("too many");
        assert!(
            matches!(
                error,
                CredentialsError::Keys(KeyError::NotForRouters(2, Purpose::Admin))
            ),
            "{error:?}"
        );
    }
}
