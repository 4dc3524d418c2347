//! `tenantry tenants aliases …`: a client of `/setup/tenants/{id or slug}/aliases`.

mod list;
mod remove;
mod set;

use clap::{Subcommand, ValueEnum};

use crate::cli::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry tenants aliases set acme app-id web-shop        for requests with x-app-id: web-shop
  tenantry tenants aliases set acme channel-token          makes a token and shows it once
  tenantry tenants aliases list acme
  tenantry tenants aliases remove acme --kind app-id web-shop";

/// What can be done with the names that requests carry in a header.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Aliases {
    /// List the aliases of a tenant
    List(list::List),
    /// Give a tenant an alias
    Set(set::Set),
    /// Take an alias from a tenant
    Remove(remove::Remove),
}

impl Aliases {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global).await,
            Self::Set(command) => command.run(global).await,
            Self::Remove(command) => command.run(global).await,
        }
    }
}

/// The kind of an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Sent as x-app-id
    AppId,
    /// Sent as x-store-id
    StoreId,
    /// Sent as x-channel-token; a secret
    ChannelToken,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::AppId => "appId",
            Self::StoreId => "storeId",
            Self::ChannelToken => "channelToken",
        }
    }
}
