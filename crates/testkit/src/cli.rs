//! The command line, as a person or a script uses it.

use std::process::{Command, Stdio};

use serde_json::Value;

/// How a command ended and what it printed.
#[derive(Clone, Debug)]
pub struct Cli {
    /// The exit code.
    pub code: i32,
    /// Its results.
    pub stdout: String,
    /// What it told a person.
    pub stderr: String,
}

impl Cli {
    pub(crate) fn run(mut command: Command) -> Self {
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs the program with these arguments.
    #[must_use]
    pub fn of(mut command: Command, arguments: &[&str]) -> Self {
        command.args(arguments);
        Self::run(command)
    }

    /// Itself, if it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Its standard output as one JSON document.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Cli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}
