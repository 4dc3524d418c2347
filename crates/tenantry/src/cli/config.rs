//! `tenantry config`: every key of the configuration, from the list that the program itself reads.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use crate::config::{self, KEYS};
use crate::failure::Result;
use crate::output::{self, Output, Shape};

const EXAMPLES: &str = "\
Examples:
  tenantry config
  tenantry config example > tenantry.toml
  tenantry config --output json | jq -r '.keys[].variable'";

/// Without a subcommand: the list.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Config {
    #[command(subcommand)]
    form: Option<Form>,
}

/// Other forms of the list.
#[derive(Debug, Subcommand)]
enum Form {
    /// Print it as Markdown, as docs/configuration.md has it
    #[command(after_help = EXAMPLES)]
    Reference,
    /// Print a configuration file with every key commented out at its default
    #[command(after_help = EXAMPLES)]
    Example,
}

impl Config {
    /// Runs it.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn run(&self, global: &Global) -> Result<()> {
        match (&self.form, global.output) {
            (Some(Form::Reference), _) => output::line(config::reference().trim_end()),
            (Some(Form::Example), _) => output::line(config::example().trim_end()),
            (None, Output::Json) => output::json(&json!({
                "keys": KEYS.iter().map(|key| json!({
                    "key": key.path,
                    "variable": key.variable(),
                    "default": key.default,
                    "about": key.about,
                    "secret": key.secret,
                })).collect::<Vec<_>>(),
            })),
            (None, Output::Table) => output::rows(
                &[
                    ("KEY", Shape::Whole),
                    ("VARIABLE", Shape::Whole),
                    ("DEFAULT", Shape::Text),
                    ("ABOUT", Shape::Text),
                ],
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
