//! `tenantry operations …`: a client of `/setup/operations`.

mod show;

use clap::Subcommand;

use super::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Example:
  tenantry operations show 01919e3c-7d1f-7c6a-9d5e-1f2a3b4c5d6e --wait";

/// What can be done with operations.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Operations {
    /// Show one operation, step by step
    Show(show::Show),
}

impl Operations {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        let Self::Show(command) = self;
        command.run(global).await
    }
}
