//! The central database and the keys.

use std::path::PathBuf;

use serde::Deserialize;
use tenantry_types::Secret;
use tenantry_vault::Keyring;

use super::key_source::KeySource;
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
    /// `keys_file`: none.
    pub keys_file: Option<PathBuf>,
    /// `keys_command`: none.
    pub keys_command: Option<String>,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self {
            catalog_url: None,
            router_catalog_url: None,
            catalog_connections: 16,
            keys: None,
            keys_file: None,
            keys_command: None,
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

    /// Where the keys come from, if that is set.
    ///
    /// # Errors
    /// When it is set twice: nobody would know which keys hold.
    pub fn key_source(&self) -> Result<Option<KeySource>> {
        let sources = [
            self.keys.clone().map(KeySource::Setting),
            self.keys_file.clone().map(KeySource::File),
            self.keys_command.clone().map(KeySource::Command),
        ];
        let mut set = sources.into_iter().flatten();
        match (set.next(), set.next()) {
            (source, None) => Ok(source),
            (_, Some(_)) => Err(Failure::usage(
                "more than one of `keys`, `keys_file` and `keys_command` is set",
            )
            .next("set the one that holds the keys, and remove the others")),
        }
    }

    /// The keys, if there are any.
    ///
    /// # Errors
    /// When they are not readable.
    pub fn keyring(&self) -> Result<Option<Keyring>> {
        match self.key_source()? {
            Some(source) => source.keyring().map(Some),
            None => Ok(None),
        }
    }
}
