//! `tenantry man`: manual pages, made from the command line itself.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueHint};

use super::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::note;

const EXAMPLES: &str = "\
Examples:
  tenantry man | man -l -
  tenantry man --dir ~/.local/share/man/man1";

/// Its own flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Man {
    /// Write a page for each command into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Man {
    /// Runs it.
    ///
    /// # Errors
    /// When stdout is closed or the folder cannot be written.
    pub fn run(&self) -> Result<()> {
        let command = Cli::command();
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            return clap_mangen::Man::new(command)
                .render(&mut page)
                .and_then(|()| std::io::stdout().write_all(&page))
                .map_err(|error| Failure::because("stdout cannot be written", &error));
        };
        std::fs::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(command, dir))
            .map_err(|error| {
                let what = format!("the pages cannot be written to {}", dir.display());
                Failure::because(what, &error)
                    .exit_as(Exit::Usage)
                    .next("name a folder that you may write to")
            })?;
        note(&format!("The pages are in {}.", dir.display()));
        Ok(())
    }
}
