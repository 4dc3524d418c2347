//! `tenantry bench rotate`: replacing routers' logins under load, against the same statements by hand.

use clap::Args;
use serde_json::json;

use super::Common;
use crate::bench::Report;
use crate::bench::rotate::{Sizes, measure};
use crate::cli::Global;
use crate::failure::Result;
use crate::output::{Output, note};

const EXAMPLES: &str = "\
Examples:
  tenantry bench rotate
  tenantry bench rotate --tenants 20 --clients 16 --output json";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Rotate {
    #[command(flatten)]
    common: Common,
    /// Tenants, whose turn comes one after another
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tenants: u32,
    /// Rotations of each side per pair
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rotations: u32,
    /// Connections that ask without a pause
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
}

impl Rotate {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way of a measurement, among that a request that failed.
    pub async fn run(self, global: &Global) -> Result<()> {
        let common = &self.common;
        let sizes = Sizes {
            tenants: self.tenants,
            rotations: self.rotations,
            clients: self.clients,
        };
        let (environment, figures, requests) = common
            .in_room(global, async |room, settings| {
                Box::pin(measure(room, settings, sizes)).await
            })
            .await?;
        Report {
            schema: 1,
            bench: "rotate",
            meaningful: common.meaningful(),
            settings: json!({
                "pairs": common.pairs, "tenants": self.tenants, "rotations": self.rotations,
                "clients": self.clients, "rotated": requests.rotations,
                "requestsServed": requests.served, "requestsFailed": 0,
            }),
            environment,
            figures,
        }
        .print(global.output)?;
        if global.output == Output::Table {
            note(&format!(
                "{} rotations, {} requests meanwhile, none failed.",
                requests.rotations, requests.served
            ));
        }
        Ok(())
    }
}
