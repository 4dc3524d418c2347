//! `tenantry bench suspend`: taking a tenant out of service on two routers under load.

use clap::Args;
use serde_json::json;

use super::Common;
use crate::bench::{self, Report};
use crate::cli::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry bench suspend
  tenantry bench suspend --pairs 15 --clients 16 --output json";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Suspend {
    #[command(flatten)]
    common: Common,
    /// Suspensions of each side per pair
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    suspensions: u32,
    /// Clients of each router that ask without a pause
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
}

impl Suspend {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way of a measurement, and what was served after a suspension was answered.
    pub async fn run(self, global: &Global) -> Result<()> {
        let common = &self.common;
        let (suspensions, clients) = (self.suspensions, self.clients);
        let (environment, figures) = common
            .in_room(global, async |room, settings| {
                Box::pin(bench::suspend::measure(
                    room,
                    settings,
                    suspensions,
                    clients,
                ))
                .await
            })
            .await?;
        Report {
            schema: 1,
            bench: "suspend",
            meaningful: common.meaningful(),
            settings: json!({
                "pairs": common.pairs, "suspensions": suspensions, "clients": clients,
            }),
            environment,
            figures,
        }
        .print(global.output)
    }
}
