//! `tenantry operators …`: a client of `/setup/operators`.

mod create;
mod list;
mod revoke;

use clap::Subcommand;

use super::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry operators create deploy-bot
  tenantry operators list
  tenantry operators revoke deploy-bot";

/// What can be done with operators.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Operators {
    /// Let a person or program run the control plane; shows their token once
    Create(create::Create),
    /// List operators
    List(list::List),
    /// End an operator's token
    Revoke(revoke::Revoke),
}

impl Operators {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Create(command) => command.run(global).await,
            Self::List(command) => command.run(global).await,
            Self::Revoke(command) => command.run(global).await,
        }
    }
}
