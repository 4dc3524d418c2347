//! Asking before something is destroyed.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::harmless;

/// For scripts, which nobody can ask.
#[derive(Args, Clone, Copy, Debug)]
pub struct Confirm {
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    yes: bool,
}

/// What a person must do to go on.
pub enum Proof<'a> {
    /// Say yes.
    Yes,
    /// Type this word, so that no habit says yes.
    Word(&'a str),
}

impl Confirm {
    /// Whether nobody is to be asked.
    pub fn is_given(self) -> bool {
        self.yes
    }

    /// Goes on if `--yes` was given or a person at the terminal agrees. `what` is a sentence like
    /// "Delete tenant acme".
    ///
    /// # Errors
    /// When nobody can be asked, or the answer is another.
    pub fn ask(self, what: &str, proof: &Proof<'_>) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Failure::usage(format!("nobody can be asked here: {what}?"))
                .next("give --yes if you are sure")
                .coded("NOT_CONFIRMED"));
        }
        let what = harmless(what);
        let question = match proof {
            Proof::Yes => format!("{what}? [y/N] "),
            Proof::Word(word) => format!("{what}? Type `{}` to go on: ", harmless(word)),
        };
        let mut err = std::io::stderr();
        let mut answer = String::new();
        write!(err, "{question}")
            .and_then(|()| err.flush())
            .and_then(|()| std::io::stdin().lock().read_line(&mut answer))
            .map_err(|error| Failure::because("the answer cannot be read", &error))?;
        let answer = answer.trim();
        let agreed = match proof {
            Proof::Yes => matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"),
            Proof::Word(word) => answer == *word,
        };
        if agreed {
            Ok(())
        } else {
            Err(
                Failure::new(Exit::Failed, "nothing was changed: it was not confirmed")
                    .coded("NOT_CONFIRMED"),
            )
        }
    }
}
