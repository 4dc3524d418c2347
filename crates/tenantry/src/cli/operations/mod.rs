//! `tenantry operations …`: a client of `/setup/operations`.

mod abandon;
mod cancel;
mod follow;
mod list;
mod retry;
mod show;

use clap::Subcommand;

use super::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry operations list --status parked
  tenantry operations show 01919e3c-7d1f-7c6a-9d5e-1f2a3b4c5d6e --wait
  tenantry operations retry 01919e3c-7d1f-7c6a-9d5e-1f2a3b4c5d6e";

/// What can be done with operations.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Operations {
    /// List operations, the newest first
    List(list::List),
    /// Show one operation, step by step
    Show(show::Show),
    /// Print each step of an operation as it happens, to its end
    Follow(follow::Follow),
    /// End an operation short of its goal; what it has done is undone
    Cancel(cancel::Cancel),
    /// Let a parked operation go on, or one that waits for its next try go on at once
    Retry(retry::Retry),
    /// Give up a parked operation; what it left half-way stays
    Abandon(abandon::Abandon),
}

impl Operations {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global).await,
            Self::Show(command) => command.run(global).await,
            Self::Follow(command) => command.run(global).await,
            Self::Cancel(command) => command.run(global).await,
            Self::Retry(command) => command.run(global).await,
            Self::Abandon(command) => command.run(global).await,
        }
    }
}
