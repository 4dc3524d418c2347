//! Why a command ends without having done what was asked: for a person, and as an exit code.
//!
//! A failure says what is wrong and, where we know it, what to do next. It never holds a secret:
//! what comes in here is printed.

use std::error::Error;
use std::fmt::Display;

use anstyle::AnsiColor;
use serde_json::{Value, json};
use tenantry_types::ErrorKind;

use crate::exit::Exit;
use crate::output::harmless_lines;

/// What a command returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    code: Option<&'static str>,
    message: String,
    next: Option<String>,
    problem: Option<Value>,
}

impl Failure {
    /// A failure with its exit code and a sentence for the person.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: None,
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

    /// Adds a code of its own, for programs.
    #[must_use]
    pub fn coded(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds the API's own answer: its code, fields and request id are told to programs.
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
        self.told(false)
    }

    /// The same for a terminal, in colour where it takes them. What came from a server is harmless.
    #[must_use]
    pub fn told(&self, colour: bool) -> String {
        let paint = |word: &str, colour_of: AnsiColor| match colour {
            true => {
                let style = colour_of.on_default().bold();
                format!("{style}{word}{style:#}")
            }
            false => word.to_owned(),
        };
        let message = harmless_lines(&self.message);
        let mut text = format!("{} {message}", paint("error:", AnsiColor::Red));
        if let Some(next) = &self.next {
            let next = harmless_lines(next);
            text.push_str(&format!("\n  {} {next}", paint("next:", AnsiColor::Cyan)));
        }
        text
    }

    /// The failure for a program, as `docs/cli.md` describes it.
    #[must_use]
    pub fn json(&self) -> Value {
        let of = |name: &str| self.problem.as_ref().and_then(|problem| problem.get(name));
        let mut error = json!({
            "code": of("code").cloned().unwrap_or_else(|| json!(self.code.unwrap_or(self.exit.code()))),
            "message": match (of("title"), of("detail")) {
                (Some(Value::String(title)), Some(Value::String(detail))) => json!(format!("{title}: {detail}")),
                (Some(title), _) => title.clone(),
                _ => json!(self.message),
            },
            "exit": self.exit as u8,
        });
        if let Some(next) = &self.next {
            error["next"] = json!(next);
        }
        for (name, of_problem) in [
            ("status", "status"),
            ("requestId", "requestId"),
            ("operationId", "operationId"),
            ("fields", "errors"),
        ] {
            if let Some(value) = of(of_problem).filter(|value| !value.is_null()) {
                error[name] = value.clone();
            }
        }
        json!({ "error": error })
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own message.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_the_code_the_person_what_to_do() {
        let failure = Failure::new(Exit::NotFound, "no such thing\u{1b}[2J").next("look elsewhere");
        assert_eq!(
            failure.text(),
            "error: no such thing\\u{1b}[2J\n  next: look elsewhere"
        );
        assert!(
            failure
                .told(true)
                .contains("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m")
        );
        assert_eq!(
            failure.json(),
            json!({ "error": {
                "code": "NOT_FOUND", "message": "no such thing\u{1b}[2J", "exit": 3,
                "next": "look elsewhere",
            } })
        );
        let own = Failure::usage("x").coded("NO_TOKEN");
        assert_eq!(own.json()["error"]["code"], "NO_TOKEN");
    }

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug)]
        struct Layer(&'static str, Option<Box<Layer>>);
        impl Display for Layer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Layer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.1.as_deref().map(|layer| layer as &dyn Error)
            }
        }
        let inner = Layer("refused", None);
        let middle = Layer("connect: refused (os error 111)", Some(Box::new(inner)));
        assert_eq!(
            chain(&Layer("sending", Some(Box::new(middle)))),
            "sending: connect: refused (os error 111)"
        );
    }
}
