//! `tenantry openapi`: the document of the HTTP interface, as this program serves it.

use clap::Args;

use crate::failure::Result;
use crate::output;

/// No flags of its own: it is JSON in any case.
#[derive(Args, Debug)]
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
