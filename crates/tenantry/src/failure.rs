//! Why a command ends without having done what was asked: for a person, and as an exit code.
//!
//! A failure says what is wrong and, where we know it, what to do next. It never holds a secret:
//! what comes in here is printed.

use std::error::Error;
use std::fmt::Display;

use serde_json::{Value, json};
use tenantry_types::ErrorKind;

use crate::exit::Exit;

/// What a command returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    next: Option<String>,
    problem: Option<Value>,
}

impl Failure {
    /// A failure with its exit code and a sentence for the person.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            next: None,
            problem: None,
        }
    }

    /// The command line or the configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something failed that has no code of its own; `source` says why.
    pub fn because(doing: impl Display, source: &dyn Error) -> Self {
        Self::new(Exit::Failed, format!("{doing}: {}", chain(source)))
    }

    /// A failure of one of our crates, with its kind.
    pub fn of_kind(kind: ErrorKind, doing: impl Display, source: &dyn Error) -> Self {
        Self::new(Exit::from(kind), format!("{doing}: {}", chain(source)))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds the API's own answer, which `--output json` prints as it came.
    #[must_use]
    pub fn with_problem(mut self, problem: Value) -> Self {
        self.problem = Some(problem);
        self
    }

    /// Another exit code for the same failure.
    #[must_use]
    pub fn exit_as(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The failure for a person: what is wrong, then what to do.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.next {
            Some(next) => format!("error: {}\n  next: {next}", self.message),
            None => format!("error: {}", self.message),
        }
    }

    /// The failure for a program: the API's problem document, or one of the same shape.
    #[must_use]
    pub fn json(&self) -> Value {
        self.problem.clone().unwrap_or_else(
            || json!({ "type": "about:blank", "title": self.message, "detail": self.next }),
        )
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
