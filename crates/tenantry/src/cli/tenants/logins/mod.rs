//! `tenantry tenants logins …`: a client of `/setup/tenants/{id or slug}/logins`; and how one is made, for
//! `tenantry tenants url` and `tenantry psql`.

mod end;
pub(in crate::cli) mod issue;
mod list;

use clap::Subcommand;

use crate::cli::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry tenants url acme --ttl 15m --role readonly     makes one, and prints where it leads
  tenantry tenants logins list acme
  tenantry tenants logins end acme tnt_jit_018f2a317c117a539d0e2f6f4c1b7a10";

/// What can be done with the logins that people and tools have for a time.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Logins {
    /// List the logins that there are now
    List(list::List),
    /// End a login before its time, with its sessions
    End(end::End),
}

impl Logins {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global).await,
            Self::End(command) => command.run(global).await,
        }
    }
}
