//! `tenantry catalog …`: work on the central database itself.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use crate::config::{Config, Overrides, Variables};
use crate::failure::Result;
use crate::output::{self, Output};
use crate::{bootstrap, catalog_url};

const EXAMPLES: &str = "\
Example:
  TENANTRY_CATALOG_URL=postgres://… tenantry catalog migrate";

/// What can be done with it.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Catalog {
    /// Bring the catalog to this program's migrations
    Migrate(Migrate),
}

/// No flags of its own.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Migrate {}

impl Catalog {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        let Self::Migrate(Migrate {}) = self;
        let none = Overrides::default();
        let config = Config::load(
            global.config.as_deref(),
            &Variables::of_process(),
            &none,
            &none,
        )?;
        let catalog = catalog_url::connect(config.catalog.url()?).await?;
        bootstrap::migrate(&catalog).await?;
        catalog.close().await;
        match global.output {
            Output::Json => output::json(&json!({ "migrated": true })),
            Output::Table => output::line("The catalog is migrated."),
        }
    }
}
