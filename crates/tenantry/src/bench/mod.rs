//! `tenantry bench`: what the product costs beyond the bare thing it is made of, measured here and now.
//!
//! Each figure is a ratio of two sides that ran in turns on the same Postgres in the same minutes,
//! so that a slow or busy machine slows both. What each side does, statement by statement, is in
//! `docs/benchmarks.md`: whoever changes a side here changes it there.
//!
//! The program under test runs as it does for its users, as processes of its own. The SQL of the
//! bare sides stands here and nowhere else: it is what somebody would write without the product.

mod cpu;
mod environment;
mod http;
mod pairs;
pub mod provision;
pub mod purge;
mod report;
mod room;
pub mod rotate;
pub mod route;
pub mod suspend;
mod world;

pub use report::Report;
pub use room::Room;

use crate::failure::{Failure, Result};

/// The least number of pairs: below it a median says little.
pub const PAIRS: u32 = 7;

/// What every benchmark is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often both sides take their turns.
    pub pairs: u32,
    /// The folder of Postgres's programs.
    pub pg_bin: Option<std::path::PathBuf>,
}

/// Refuses what would give numbers that mean nothing.
///
/// # Errors
/// For a debug build that was not asked for, and for too few pairs.
pub fn check(pairs: u32, allow_debug: bool, smoke: bool) -> Result<()> {
    if cfg!(debug_assertions) && !allow_debug && !smoke {
        return Err(Failure::usage(
            "this is a debug build: its numbers say nothing about the product",
        )
        .next("build it with `cargo build --release`, or see it run with --allow-debug"));
    }
    if pairs < PAIRS && !smoke {
        return Err(Failure::usage(format!(
            "--pairs is {pairs}; a median of fewer than {PAIRS} says little"
        )));
    }
    Ok(())
}
