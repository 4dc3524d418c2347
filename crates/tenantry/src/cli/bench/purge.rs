//! `tenantry bench purge`: what a served tenant notices while others are purged.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Common;
use crate::bench::Report;
use crate::bench::purge::{Sizes, measure};
use crate::cli::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry bench purge
  tenantry bench purge --tenants 140 --pairs 7 --at-once 1 --output json";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Purge {
    #[command(flatten)]
    common: Common,
    /// Tenants that each side purges in all, an equal part of them in each pair
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
    /// Purges at the same time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    at_once: u32,
    /// Clients of the served tenant that read, and as many that write
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    clients: u32,
    /// How long each of them waits after an answer
    #[arg(long, default_value = "5ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    pause: Duration,
    /// How long the served tenant is left alone per pair
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Duration,
}

impl Purge {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way of a measurement, among that a request of the served tenant that failed.
    pub async fn run(self, global: &Global) -> Result<()> {
        let common = &self.common;
        let sizes = Sizes {
            tenants: self.tenants,
            at_once: self.at_once,
            clients: self.clients,
            pause: self.pause,
            time: self.time,
        };
        let (environment, figures) = common
            .in_room(global, async |room, settings| {
                Box::pin(measure(room, settings, sizes)).await
            })
            .await?;
        Report {
            schema: 1,
            bench: "purge",
            meaningful: common.meaningful(),
            settings: json!({
                "pairs": common.pairs, "tenants": sizes.tenants, "atOnce": sizes.at_once,
                "clients": sizes.clients, "pauseSeconds": sizes.pause.as_secs_f64(),
                "seconds": sizes.time.as_secs_f64(),
            }),
            environment,
            figures,
        }
        .print(global.output)
    }
}
