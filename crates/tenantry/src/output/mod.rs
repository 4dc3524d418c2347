//! What a command gives back on stdout: a table for people, or one JSON document for programs.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::failure::{Failure, Result};

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
    line(&format!("{document:#}"))
}

/// Prints a line of a result.
///
/// # Errors
/// When stdout is closed.
pub fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::because("stdout cannot be written", &error))
}

/// Tells the person something that is no result. Nothing depends on it, so a closed stderr is fine.
pub fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Prints rows under their headings.
///
/// # Errors
/// When stdout is closed.
pub fn rows(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    let mut table = plain();
    table.set_header(headings);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    print(&table)
}

/// Prints the fields of one thing, a line each; absent ones are left out.
///
/// # Errors
/// When stdout is closed.
pub fn fields(fields: impl IntoIterator<Item = (&'static str, String)>) -> Result<()> {
    let mut table = plain();
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    print(&table)
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

fn plain() -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn print(table: &Table) -> Result<()> {
    table.lines().try_for_each(|row| line(row.trim_end()))
}

/// Text from a server, without what would move a terminal's cursor or end the row.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn absent_and_null_fields_are_empty() {
        let answer = serde_json::json!({ "a": null, "b": "x", "c": 3 });
        assert_eq!(text(&answer, "a"), "");
        assert_eq!(text(&answer, "z"), "");
        assert_eq!(text(&answer, "b"), "x");
        assert_eq!(text(&answer, "c"), "3");
    }
}
