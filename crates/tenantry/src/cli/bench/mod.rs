//! `tenantry bench`: what the product costs, measured on this machine.

mod provision;
mod purge;
mod rotate;
mod route;
mod serve;
mod suspend;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Global;
use crate::bench::{self, Room, Settings};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::stop::Stop;

const EXAMPLES: &str = "\
Examples:
  tenantry bench provision
  tenantry bench route --output json";

/// What can be measured.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Bench {
    /// Creating a tenant, against the same statements sent by hand
    Provision(provision::Provision),
    /// What a served tenant notices while others are purged
    Purge(purge::Purge),
    /// Replacing routers' logins under load, against the same statements by hand
    Rotate(rotate::Rotate),
    /// Reaching a tenant's database, against one hard-wired pool
    Route(route::Route),
    /// Taking a tenant out of service on two routers under load
    Suspend(suspend::Suspend),
    /// The servers under test of `route`, `suspend` and `purge`
    #[command(hide = true)]
    Serve(serve::Serve),
}

/// What all measurements take.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// How often both sides take their turns; 7 at least
    #[arg(long, default_value_t = 9, value_name = "N")]
    pairs: u32,
    /// The folder of Postgres's programs [default: looked for]
    #[arg(long, env = "TENANTRY_PG_BIN", value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// Measure a debug build, whose numbers say nothing
    #[arg(long)]
    allow_debug: bool,
    /// For tests: any number of pairs, on any build
    #[arg(long, hide = true)]
    smoke: bool,
}

impl Bench {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way of a measurement.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Provision(command) => Box::pin(command.run(global)).await,
            Self::Purge(command) => Box::pin(command.run(global)).await,
            Self::Rotate(command) => Box::pin(command.run(global)).await,
            Self::Route(command) => Box::pin(command.run(global)).await,
            Self::Suspend(command) => Box::pin(command.run(global)).await,
            Self::Serve(command) => Box::pin(command.run()).await,
        }
    }

    /// Whether it is one of the servers under test.
    #[must_use]
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Serve(_))
    }
}

impl Common {
    /// Does something in a room that is gone afterwards, however it ends.
    async fn in_room<T>(
        &self,
        global: &Global,
        work: impl AsyncFnOnce(&Room, &Settings) -> Result<T>,
    ) -> Result<T> {
        bench::check(self.pairs, self.allow_debug, self.smoke)?;
        let settings = Settings {
            pairs: self.pairs,
            pg_bin: self.pg_bin.clone(),
        };
        let stop = Stop::on_signals()?;
        let room = Room::make(global.data.as_deref())?;
        let done = stop.unless(work(&room, &settings)).await;
        let closed = room.close().await;
        let done =
            done.unwrap_or_else(|| Err(Failure::new(Exit::Failed, "stopped before its end")))?;
        closed.map(|()| done)
    }

    fn meaningful(&self) -> bool {
        !cfg!(debug_assertions) && !self.smoke
    }
}
