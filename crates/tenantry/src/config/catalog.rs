//! The central database and the keys.

use serde::Deserialize;
use tenantry_types::Secret;
use tenantry_vault::Keyring;

use crate::failure::{Failure, Result};

/// Where the catalog is and what opens its secrets.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct CatalogSettings {
    /// `catalog_url`: none; required by all that works locally.
    pub catalog_url: Option<Secret>,
    /// `router_catalog_url`: the login that `tenantry init` made, if any.
    pub router_catalog_url: Option<Secret>,
    /// `catalog_connections`: 16.
    pub catalog_connections: u32,
    /// `keys`: none; required by `serve`, made by `init`.
    pub keys: Option<Secret>,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self {
            catalog_url: None,
            router_catalog_url: None,
            catalog_connections: 16,
            keys: None,
        }
    }
}

impl CatalogSettings {
    /// The catalog's URL.
    ///
    /// # Errors
    /// When none is set.
    pub fn url(&self) -> Result<&Secret> {
        self.catalog_url.as_ref().ok_or_else(|| {
            Failure::usage("no catalog is configured").next(
                "set TENANTRY_CATALOG_URL, or `catalog_url` in tenantry.toml, to postgres://login:password@host:port/database",
            )
        })
    }

    /// The keys, if there are any.
    ///
    /// # Errors
    /// When they are not readable.
    pub fn keyring(&self) -> Result<Option<Keyring>> {
        self.keys
            .as_ref()
            .map(|text| {
                Keyring::parse(text).map_err(|error| {
                    Failure::usage(format!(
                        "`keys` is not usable: {}",
                        crate::failure::chain(&error)
                    ))
                    .next("set TENANTRY_KEYS to what `tenantry init` printed")
                })
            })
            .transpose()
    }
}
