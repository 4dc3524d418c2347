//! `tenantry bench serve`, hidden: the servers that `tenantry bench route` and `suspend` put under load.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::bench::route::app;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry bench serve routed /tmp/address";

/// Which of the two, and where it tells its address.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// How its handler comes to a connection
    #[arg(value_enum)]
    way: Way,
    /// The file that gets the address
    address_file: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Routed,
    Wired,
}

impl Serve {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What stands in the way of a start.
    pub async fn run(self) -> Result<()> {
        match self.way {
            Way::Routed => app::routed(&self.address_file).await,
            Way::Wired => app::wired(&self.address_file).await,
        }
    }
}
