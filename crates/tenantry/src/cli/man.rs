//! `tenantry man`: manual pages, made from the command line itself.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory, ValueHint};

use super::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{self, note};

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
                .map_err(|error| output::unwritten(&error));
        };
        // Built, so that each command knows its whole name.
        let mut command = command.disable_help_subcommand(true);
        command.build();
        std::fs::create_dir_all(dir)
            .and_then(|()| write(&command, dir))
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

/// The page of a command and those of the commands below it.
fn write(command: &Command, dir: &Path) -> std::io::Result<()> {
    let visible = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    visible
        .into_iter()
        .try_for_each(|below| write(below, dir))?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    clap_mangen::Man::new(command.clone())
        .title(name)
        .source(concat!("tenantry ", env!("CARGO_PKG_VERSION")))
        .generate_to(dir)
        .map(drop)
}
