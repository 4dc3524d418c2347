//! `tenantry config`: every key of the configuration, from the list that the program itself reads.

use clap::Args;
use serde_json::json;

use super::Global;
use crate::config::KEYS;
use crate::failure::Result;
use crate::output::{self, Output};

/// No flags of its own.
#[derive(Args, Debug)]
pub struct Config {}

impl Config {
    /// Runs it.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn run(&self, global: &Global) -> Result<()> {
        match global.output {
            Output::Json => output::json(&json!({
                "keys": KEYS.iter().map(|key| json!({
                    "key": key.path,
                    "variable": key.variable(),
                    "default": key.default,
                    "about": key.about,
                })).collect::<Vec<_>>(),
            })),
            Output::Table => output::rows(
                &["KEY", "VARIABLE", "DEFAULT", "ABOUT"],
                KEYS.iter().map(|key| {
                    vec![
                        key.path.to_owned(),
                        key.variable(),
                        key.default.to_owned(),
                        key.about.to_owned(),
                    ]
                }),
            ),
        }
    }
}
