//! What a command gives back on stdout: a table for people, or one JSON document for programs; and
//! what it tells a person beside that, on stderr.
//!
//! Nothing that came from a server or a command line reaches a terminal as it is: see [`harmless`].
//! What is printed where, in which width and whether in colour is decided once, in `terminal`.

mod moment;
mod printable;
mod progress;
mod table;
mod terminal;

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

pub use moment::{length, relative};
pub use printable::{harmless, harmless_json, harmless_lines};
pub use progress::{LogLines, Progress};
pub use table::{Column, Look, Shape, state};
pub use terminal::{Terminal, terminal};

/// The shape of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// Exactly one JSON document.
    Json,
}

/// Prints one JSON document.
///
/// # Errors
/// When stdout is closed.
pub fn json(document: &Value) -> Result<()> {
    raw(&harmless_json(&format!("{document:#}")))
}

/// Prints a line of a result.
///
/// # Errors
/// When stdout is closed.
pub fn line(text: &str) -> Result<()> {
    raw(&harmless_lines(text))
}

/// As [`line()`], for text that was made harmless and may have colours.
///
/// # Errors
/// When stdout is closed.
pub fn painted(text: &str) -> Result<()> {
    raw(text)
}

/// Tells the person something that is no result. Nothing depends on it, so a closed stderr is fine.
pub fn note(text: &str) {
    tell(&harmless_lines(text));
}

/// As [`note`], for text that was made harmless and may have colours.
pub fn tell(text: &str) {
    progress::around(|| drop(writeln!(std::io::stderr(), "{text}")));
}

/// Prints rows under their headings, within the terminal's width.
///
/// # Errors
/// When stdout is closed.
pub fn rows(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    let look = Look::of_stdout();
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    table::rows(columns, &rows, &look)
        .iter()
        .try_for_each(|row| raw(row))
}

/// Prints the fields of one thing, a line each; absent ones are left out.
///
/// # Errors
/// When stdout is closed.
pub fn fields(fields: impl IntoIterator<Item = (&'static str, Shape, String)>) -> Result<()> {
    let look = Look::of_stdout();
    let fields: Vec<_> = fields.into_iter().collect();
    table::fields(&fields, &look)
        .iter()
        .try_for_each(|row| raw(row))
}

/// Prints what is harmless already.
fn raw(text: &str) -> Result<()> {
    progress::around(|| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(|error| unwritten(&error))
    })
}

/// Why stdout was not written. A reader that has seen enough (`| head -1`) is no reason to say anything.
pub fn unwritten(error: &std::io::Error) -> Failure {
    let failure = Failure::because("stdout cannot be written", error);
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => failure.exit_as(Exit::NobodyReads),
        _ => failure,
    }
}

/// A field of an answer as text: empty where it is absent or null.
#[must_use]
pub fn text(answer: &Value, field: &str) -> String {
    match answer.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The items of a list in an answer; none where it is absent.
#[must_use]
pub fn items<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    answer
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_null_fields_are_empty() {
        let answer = serde_json::json!({ "a": null, "b": "x", "c": 3 });
        assert_eq!(text(&answer, "a"), "");
        assert_eq!(text(&answer, "z"), "");
        assert_eq!(text(&answer, "b"), "x");
        assert_eq!(text(&answer, "c"), "3");
        assert!(items(&answer, "b").is_empty());
    }
}
