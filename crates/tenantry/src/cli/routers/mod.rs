//! `tenantry routers …`: a client of `/setup/routers`.

mod list;

use clap::Subcommand;

use super::Global;
use crate::failure::Result;

pub(in crate::cli) use list::server;

const EXAMPLES: &str = "\
Example:
  tenantry routers list";

/// What can be done with routers.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Routers {
    /// List routers, their lag and what they have open
    List(list::List),
}

impl Routers {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        let Self::List(command) = self;
        command.run(global).await
    }
}
