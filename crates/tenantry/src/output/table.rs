//! Rows under headings, and the fields of one thing.
//!
//! On a terminal a table fits its width: the widest column of free text is shortened with `…`, then
//! the next. Ids, slugs and states stay whole, so that they can be copied. Where that is not enough
//! each row becomes lines of its own. In a pipe nothing is ever cut.

use anstyle::{AnsiColor, Style};
use tenantry_types::{Clock, Timestamp};
use unicode_width::UnicodeWidthStr;

use super::{harmless, relative, terminal};

/// Between two columns.
const GAP: usize = 2;
/// A shortened text keeps at least this much.
const LEAST: usize = 8;

/// A column.
pub type Column = (&'static str, Shape);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Free text, which may be shortened.
    Text,
    /// An id, a name to type, a number: stays whole.
    Whole,
    /// A moment as RFC 3339; told from now on a terminal.
    Time,
    /// The state of something, in its colour.
    State,
}

/// How it is printed.
pub struct Look {
    /// The width, where nothing may be wider.
    pub width: Option<usize>,
    /// Whether in colour.
    pub colour: bool,
    /// Whether for a person: what is now, to tell times from.
    pub now: Option<Timestamp>,
}

impl Look {
    /// As fits stdout.
    #[must_use]
    pub fn of_stdout() -> Self {
        let out = terminal().out;
        Self {
            width: out.width,
            colour: out.colour,
            now: out.terminal.then(|| Clock::system().now()),
        }
    }

    /// A text in a style, where there are colours.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && style != Style::new() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// The style of a state, also of an operation's or a database's.
#[must_use]
pub fn state(word: &str) -> Style {
    let colour = match word {
        "active" | "done" | "migrated" | "current" | "alive" | "ready" | "verified" | "open" => {
            AnsiColor::Green
        }
        "error" | "failed" | "parked" | "abandoned" => AnsiColor::Red,
        "deleting" | "suspended" | "undoing" | "gone" | "behind" | "draining" => AnsiColor::Yellow,
        "provisioning" | "pending" | "running" | "migrating" | "moving" => AnsiColor::Cyan,
        _ => return Style::new(),
    };
    colour.on_default()
}

/// The lines of a table.
pub(super) fn rows(columns: &[Column], rows: &[Vec<String>], look: &Look) -> Vec<String> {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(columns);
            cells
                .map(|(text, (_, shape))| shown(text, *shape, look))
                .collect()
        })
        .collect();
    let mut widths: Vec<usize> = columns.iter().map(|(heading, _)| heading.width()).collect();
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    if let Some(room) = look.width
        && !fit(columns, &mut widths, room)
    {
        return records(columns, &cells, look);
    }
    let heading = columns.iter().map(|(heading, _)| (*heading).to_owned());
    let heading = line(&heading.collect::<Vec<_>>(), &widths, |_, text| {
        look.paint(Style::new().bold(), text)
    });
    let body = cells.iter().map(|row| {
        line(row, &widths, |index, text| match columns[index].1 {
            Shape::State => look.paint(state(text), text),
            _ => text.to_owned(),
        })
    });
    std::iter::once(heading).chain(body).collect()
}

/// The lines of one thing's fields; nothing is cut.
pub(super) fn fields(fields: &[(&'static str, Shape, String)], look: &Look) -> Vec<String> {
    let present: Vec<_> = fields
        .iter()
        .filter(|(.., value)| !value.is_empty())
        .collect();
    let widest = present.iter().map(|(name, ..)| name.width()).max();
    let widest = widest.unwrap_or_default();
    let print = |(name, shape, value): &&(&str, Shape, String)| {
        let mut text = shown(value, *shape, look);
        match shape {
            // Both: the one to read, the other to copy.
            Shape::Time if text != *value => text = format!("{text} ({})", harmless(value)),
            Shape::State => text = look.paint(state(&text), &text),
            _ => {}
        }
        let pad = " ".repeat(widest - name.width() + GAP);
        format!("{}{pad}{text}", look.paint(Style::new().bold(), name))
    };
    present.iter().map(print).collect()
}

fn shown(text: &str, shape: Shape, look: &Look) -> String {
    let told = match (shape, look.now) {
        (Shape::Time, Some(now)) => relative(text, now),
        _ => None,
    };
    told.unwrap_or_else(|| harmless(text))
}

/// Narrows the columns of free text, the widest first, until all fit. `false`: they do not.
fn fit(columns: &[Column], widths: &mut [usize], room: usize) -> bool {
    loop {
        let gaps = GAP * widths.len().saturating_sub(1);
        let needed = widths.iter().sum::<usize>() + gaps;
        if needed <= room {
            return true;
        }
        let widest = (0..widths.len())
            .filter(|index| columns[*index].1 == Shape::Text && widths[*index] > LEAST)
            .max_by_key(|index| widths[*index]);
        let Some(widest) = widest else { return false };
        widths[widest] -= 1;
    }
}

fn line(cells: &[String], widths: &[usize], paint: impl Fn(usize, &str) -> String) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let text = shortened(cell, *width);
        line.push_str(&paint(index, &text));
        if index + 1 < cells.len() {
            line.push_str(&" ".repeat(width - text.width() + GAP));
        }
    }
    line.trim_end().to_owned()
}

/// Each row as lines of its own.
fn records(columns: &[Column], cells: &[Vec<String>], look: &Look) -> Vec<String> {
    let widest = columns.iter().map(|(heading, _)| heading.width()).max();
    let widest = widest.unwrap_or_default();
    let mut lines = Vec::new();
    for (index, row) in cells.iter().enumerate() {
        if index > 0 {
            lines.push(String::new());
        }
        for ((heading, shape), cell) in columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty())
        {
            let pad = " ".repeat(widest - heading.width() + GAP);
            let text = match shape {
                Shape::State => look.paint(state(cell), cell),
                _ => cell.clone(),
            };
            let heading = look.paint(Style::new().bold(), heading);
            lines.push(format!("{heading}{pad}{text}"));
        }
    }
    lines
}

fn shortened(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if kept.width() + 1 > room {
            kept.pop();
            break;
        }
    }
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        ("SLUG", Shape::Whole),
        ("NAME", Shape::Text),
        ("STATUS", Shape::State),
        ("URL", Shape::Text),
    ];

    fn look(width: Option<usize>) -> Look {
        Look {
            width,
            colour: false,
            now: None,
        }
    }

    fn row(name: &str) -> Vec<String> {
        ["acme", name, "active", "https://acme.example.com"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn in_a_pipe_nothing_is_cut() {
        let name = "x".repeat(300);
        let lines = rows(COLUMNS, &[row(&name)], &look(None));
        assert!(lines[1].contains(&name) && lines[1].ends_with("https://acme.example.com"));
    }

    #[test]
    fn the_widest_text_is_shortened_first_and_the_line_fits() {
        let lines = rows(COLUMNS, &[row(&"名前".repeat(30))], &look(Some(60)));
        assert!(lines.iter().all(|line| line.width() <= 60), "{lines:?}");
        assert!(lines[1].contains('…') && lines[1].contains("acme "));
        let lines = rows(COLUMNS, &[row("Acme")], &look(Some(60)));
        assert_eq!(lines[1], "acme  Acme  active  https://acme.example.com");
    }

    #[test]
    fn where_even_that_is_too_wide_each_row_has_lines_of_its_own() {
        let lines = rows(COLUMNS, &[row("Acme"), row("Acme")], &look(Some(20)));
        assert_eq!(lines[0], "SLUG    acme");
        assert_eq!(lines[4], "");
    }

    #[test]
    fn colours_do_not_count_as_width_and_only_states_have_them() {
        let mut colourful = look(Some(60));
        colourful.colour = true;
        let lines = rows(COLUMNS, &[row("Acme")], &colourful);
        assert!(
            lines[1].contains("\u{1b}[32mactive\u{1b}[0m  https"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_field_shows_a_time_both_ways_to_a_person() {
        let now = "2026-05-04T12:00:00Z".parse().expect("a moment");
        let at = "2026-05-11T12:00:00Z".to_owned();
        let told = |now| {
            let look = Look { now, ..look(None) };
            fields(&[("will be purged", Shape::Time, at.clone())], &look)
        };
        assert_eq!(told(None), ["will be purged  2026-05-11T12:00:00Z"]);
        assert_eq!(
            told(Some(now)),
            ["will be purged  in 7 days (2026-05-11T12:00:00Z)"]
        );
    }
}
