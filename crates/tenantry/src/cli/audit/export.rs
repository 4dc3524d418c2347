//! `tenantry audit export`: `GET /setup/audit/export`, as it comes.

use std::io::Write;

use clap::Args;

use super::Which;
use crate::cli::Global;
use crate::client::Client;
use crate::failure::Result;
use crate::output;

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = super::EXAMPLES)]
pub struct Export {
    #[command(flatten)]
    which: Which,
}

impl Export {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let client = Client::connect(global)?;
        let mut download = client
            .download(&["audit", "export"], &self.which.query())
            .await?;
        let mut out = std::io::stdout().lock();
        let failed = |error: std::io::Error| output::unwritten(&error);
        while let Some(bytes) = download.next().await? {
            out.write_all(bytes.as_ref()).map_err(failed)?;
        }
        out.flush().map_err(failed)
    }
}
