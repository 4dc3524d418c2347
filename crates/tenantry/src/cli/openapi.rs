//! `tenantry openapi`: the document of the HTTP interface, as this program serves it.

use clap::Args;

use crate::failure::Result;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tenantry openapi > openapi.json";

/// No flags of its own: it is JSON in any case.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Openapi {}

impl Openapi {
    /// Runs it.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn run(self) -> Result<()> {
        output::line(tenantry_api::openapi::document().trim_end())
    }
}
