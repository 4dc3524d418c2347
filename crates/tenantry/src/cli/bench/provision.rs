//! `tenantry bench provision`: creating a tenant, against the same statements sent by hand.

use clap::Args;
use serde_json::json;

use super::Common;
use crate::bench::{self, Report};
use crate::cli::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry bench provision
  tenantry bench provision --pairs 15 --creations 20 --output json";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Provision {
    #[command(flatten)]
    common: Common,
    /// Creations of each side per pair
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    creations: u32,
}

impl Provision {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way of a measurement.
    pub async fn run(self, global: &Global) -> Result<()> {
        let common = &self.common;
        let (environment, figures) = common
            .in_room(global, async |room, settings| {
                Box::pin(bench::provision::measure(room, settings, self.creations)).await
            })
            .await?;
        Report {
            schema: 1,
            bench: "provision",
            meaningful: common.meaningful(),
            settings: json!({ "pairs": common.pairs, "creations": self.creations }),
            environment,
            figures,
        }
        .print(global.output)
    }
}
