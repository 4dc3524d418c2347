//! `tenantry completions`: a script for the shell, made from the command line itself.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell as Generator;

use super::Cli;
use crate::failure::Result;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tenantry completions bash > ~/.local/share/bash-completion/completions/tenantry
  tenantry completions zsh > ~/.zfunc/_tenantry        (with ~/.zfunc in $fpath, before compinit)
  tenantry completions fish > ~/.config/fish/completions/tenantry.fish";

/// Its own arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// The shells that are tested.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// Bash, with bash-completion
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

impl Completions {
    /// Runs it.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn run(&self) -> Result<()> {
        let generator = match self.shell {
            Shell::Bash => Generator::Bash,
            Shell::Zsh => Generator::Zsh,
            Shell::Fish => Generator::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(generator, &mut Cli::command(), "tenantry", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script)
            .map_err(|error| output::unwritten(&error))
    }
}
