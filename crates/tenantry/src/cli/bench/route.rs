//! `tenantry bench route`: reaching a tenant's database, against one hard-wired pool.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Common;
use crate::bench::Report;
use crate::bench::route::{self, Sizes};
use crate::cli::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry bench route
  tenantry bench route --clients 64 --time 5s";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Route {
    #[command(flatten)]
    common: Common,
    /// Clients at the same time, each on a connection of its own
    #[arg(long, default_value = "32,128", value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: Vec<u32>,
    /// How long each side is loaded per pair
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Tenants that the clients are spread over; each gets an equal part of the connections
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    tenants: u32,
    /// Connections to Postgres, of all tenants together and of the hard-wired pool
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    connections: u32,
    /// First requests of a cold tenant per pair
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cold: u32,
    /// Resolutions per pair
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    resolutions: u32,
}

impl Route {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way of a measurement.
    pub async fn run(self, global: &Global) -> Result<()> {
        let common = &self.common;
        let sizes = Sizes {
            clients: self.clients.clone(),
            time: self.time,
            tenants: self.tenants,
            per_tenant: (self.connections / self.tenants).max(1),
            cold: self.cold,
            resolutions: self.resolutions,
        };
        let (environment, figures) = common
            .in_room(global, async |room, settings| {
                Box::pin(route::measure(room, settings, &sizes)).await
            })
            .await?;
        Report {
            schema: 1,
            bench: "route",
            meaningful: common.meaningful(),
            settings: json!({
                "pairs": common.pairs,
                "clients": sizes.clients,
                "seconds": sizes.time.as_secs_f64(),
                "tenants": sizes.tenants,
                "connections": sizes.tenants * sizes.per_tenant,
                "cold": sizes.cold,
                "resolutions": sizes.resolutions,
            }),
            environment,
            figures,
        }
        .print(global.output)
    }
}
