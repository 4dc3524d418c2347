//! `tenantry clusters …`: a client of `/setup/clusters`.

mod list;
mod set_budget;

use clap::Subcommand;

use super::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry clusters list
  tenantry clusters set-budget default 200";

/// What can be done with clusters.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Clusters {
    /// List the Postgres servers that hold tenants' databases, and what is taken of their budgets
    List(list::List),
    /// Set how many connections may be open on a cluster, over all tenants and routers
    SetBudget(set_budget::SetBudget),
}

impl Clusters {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global).await,
            Self::SetBudget(command) => command.run(global).await,
        }
    }
}
