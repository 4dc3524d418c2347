//! `tenantry bench route`: reaching a tenant's database, against one hard-wired pool.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Common;
use crate::bench::Report;
use crate::bench::route::{self, Scenario, Sizes};
use crate::cli::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry bench route
  tenantry bench route --clients 64 --time 5s
  tenantry bench route --only resolution,hot-among-many
  tenantry bench route --only budget --fleet 400 --pause 50ms";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Route {
    #[command(flatten)]
    common: Common,
    /// Only these [default: all]
    #[arg(long, value_enum, value_name = "WHAT,…", value_delimiter = ',')]
    only: Vec<Scenario>,
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
    /// Tenants under load among many known ones
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    hot: u32,
    /// Tenants that a router knows
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=90_000))]
    known: u32,
    /// How long a router is left alone per pair
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// Tenants of the large catalog
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    catalog: u32,
    /// First resolutions per pair
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    misses: u32,
    /// Tenants that share a budget, each with a database of about 10 MB
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=20_000))]
    fleet: u32,
    /// Connections that they may have open
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    budget: u32,
    /// The exponent of Zipf's law for which of them is asked
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    zipf: f64,
    /// Clients that ask for them
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    fleet_clients: u32,
    /// How long each of these clients waits after an answer, on average; they are also let ask without
    #[arg(long, default_value = "200ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    pause: Duration,
}

impl Route {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way of a measurement.
    pub async fn run(self, global: &Global) -> Result<()> {
        let common = &self.common;
        let only = if self.only.is_empty() {
            Scenario::value_variants().to_vec()
        } else {
            self.only
        };
        let sizes = Sizes {
            only,
            clients: self.clients.clone(),
            time: self.time,
            tenants: self.tenants,
            per_tenant: (self.connections / self.tenants).max(1),
            cold: self.cold,
            resolutions: self.resolutions,
            hot: self.hot,
            known: self.known.max(self.hot),
            idle: self.idle,
            catalog: self.catalog,
            misses: self.misses,
            fleet: self.fleet,
            budget: self.budget,
            zipf: self.zipf,
            fleet_clients: self.fleet_clients,
            pause: self.pause,
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
                "only": sizes.only,
                "hot": sizes.hot,
                "known": sizes.known,
                "idleSeconds": sizes.idle.as_secs_f64(),
                "catalog": sizes.catalog,
                "misses": sizes.misses,
                "fleet": sizes.fleet,
                "budget": sizes.budget,
                "zipf": sizes.zipf,
                "fleetClients": sizes.fleet_clients,
                "pauseSeconds": sizes.pause.as_secs_f64(),
            }),
            environment,
            figures,
        }
        .print(global.output)
    }
}
