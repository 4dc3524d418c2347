//! `tenantry dumps list`: the final dumps in a folder of this machine. Asks no server.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use serde_json::json;
use tenantry_lifecycle::dump;

use super::Global;
use super::tenants::document;
use crate::config::{Config, Overrides, Variables};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, Output, Shape, text};

const EXAMPLES: &str = "\
Examples:
  tenantry dumps list                                  in `dumps.dir` of the configuration
  tenantry dumps list --dir /var/lib/tenantry/dumps

One is restored with `tenantry tenants restore FILE --new SLUG`.";

/// What can be done with final dumps.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Dumps {
    /// List the dumps that purges have taken and that are kept
    List(List),
}

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct List {
    /// The folder [default: `dumps.dir` of the configuration]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Dumps {
    /// Runs it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn run(self, global: &Global) -> Result<()> {
        let Self::List(list) = self;
        let folder = match list.dir {
            Some(folder) if !folder.is_dir() => {
                let what = format!("there is no folder {}", folder.display());
                return Err(Failure::new(Exit::NotFound, what));
            }
            Some(folder) => folder,
            None => configured(global)?,
        };
        let all =
            dump::kept(&folder).map_err(|error| Failure::usage(crate::failure::chain(&error)))?;
        let items: Vec<_> = all
            .iter()
            .map(|one| document(&one.path, &one.manifest))
            .collect();
        match global.output {
            Output::Json => output::json(&json!({ "items": items, "nextCursor": null })),
            Output::Table => output::rows(
                &[
                    ("SLUG", Shape::Whole),
                    ("TENANT", Shape::Whole),
                    ("TAKEN", Shape::Time),
                    ("BYTES", Shape::Whole),
                    ("FILE", Shape::Text),
                ],
                items.iter().map(|one| {
                    ["slug", "tenantId", "takenAt", "bytes", "path"]
                        .map(|field| text(one, field))
                        .to_vec()
                }),
            ),
        }
    }
}

fn configured(global: &Global) -> Result<PathBuf> {
    let none = Overrides::default();
    let config = Config::load(
        global.config.as_deref(),
        &Variables::of_process(),
        &none,
        &none,
    )?;
    config.dumps.dir.ok_or_else(|| {
        Failure::usage("no folder for final dumps is configured")
            .next("give --dir, or set `dumps.dir`")
    })
}
