//! The one place that decides what stdout and stderr are: terminals or not, how wide, in colour or
//! not. The two differ: `tenantry tenants list >file` still has a terminal for its notes.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use clap::ColorChoice;

/// Both streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal {
    /// Where results go.
    pub out: Stream,
    /// Where notes, bars and errors go.
    pub err: Stream,
}

/// One stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Whether a person looks at it.
    pub terminal: bool,
    /// Whether it takes colours.
    pub colour: bool,
    /// Whether lines can be drawn over.
    pub redraws: bool,
    /// Its width in columns; none where nothing is to be cut.
    pub width: Option<usize>,
}

/// What the environment says of terminals.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    no_color: bool,
    force: bool,
    dumb: bool,
    columns: Option<usize>,
}

static DECIDED: OnceLock<Terminal> = OnceLock::new();

/// What was decided at the start; before it, nothing is a terminal.
#[must_use]
pub fn terminal() -> Terminal {
    DECIDED.get().copied().unwrap_or_default()
}

impl Terminal {
    /// Decides, once for the process.
    pub fn decide(choice: ColorChoice) {
        let around = Surroundings::of_process();
        let (out, err) = (std::io::stdout(), std::io::stderr());
        let both = Self {
            out: Stream::of(choice, &around, out.is_terminal(), width_of(&out)),
            err: Stream::of(choice, &around, err.is_terminal(), width_of(&err)),
        };
        // A second call would come to the same.
        let _ = DECIDED.set(both);
    }
}

impl Stream {
    fn of(choice: ColorChoice, around: &Surroundings, terminal: bool, width: usize) -> Self {
        let colour = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // <https://no-color.org>, <https://bixense.com/clicolors>
            ColorChoice::Auto if around.no_color => false,
            ColorChoice::Auto if around.force => true,
            ColorChoice::Auto => terminal && !around.dumb,
        };
        let known = Some(width).filter(|width| *width > 0).or(around.columns);
        Self {
            terminal,
            colour,
            redraws: terminal && !around.dumb,
            width: terminal.then(|| known.unwrap_or(80)),
        }
    }
}

impl Surroundings {
    fn of_process() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            no_color: set("NO_COLOR").is_some(),
            force: set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb: set("TERM").is_some_and(|term| term == "dumb"),
            columns: set("COLUMNS").and_then(|columns| columns.parse().ok()),
        }
    }
}

/// 0 where it is not known.
fn width_of(stream: &impl AsFd) -> usize {
    rustix::termios::tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(choice: ColorChoice, around: &Surroundings, terminal: bool) -> bool {
        Stream::of(choice, around, terminal, 80).colour
    }

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        use ColorChoice::{Always, Auto, Never};
        let plain = Surroundings::default();
        assert!(colour(Auto, &plain, true) && !colour(Auto, &plain, false));
        assert!(colour(Always, &plain, false) && !colour(Never, &plain, true));
        let no_color = Surroundings {
            no_color: true,
            force: true,
            ..Surroundings::default()
        };
        assert!(!colour(Auto, &no_color, true) && colour(Always, &no_color, true));
        let force = Surroundings {
            force: true,
            dumb: true,
            ..Surroundings::default()
        };
        assert!(colour(Auto, &force, false));
        let dumb = Surroundings {
            dumb: true,
            ..Surroundings::default()
        };
        assert!(!colour(Auto, &dumb, true));
        assert!(!Stream::of(Auto, &dumb, true, 80).redraws);
    }

    #[test]
    fn only_a_terminal_has_a_width() {
        let around = Surroundings {
            columns: Some(132),
            ..Surroundings::default()
        };
        let width = |terminal, seen| Stream::of(ColorChoice::Auto, &around, terminal, seen).width;
        assert_eq!(width(true, 100), Some(100));
        assert_eq!(width(true, 0), Some(132));
        assert_eq!(width(false, 100), None);
    }
}
