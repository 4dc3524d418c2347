//! Why something was done to a tenant, in words for people.

use std::fmt;

/// One line of text that people are shown: 1 to 500 characters, without spaces around it, and without
/// characters that end a line, control a terminal, or change the direction of what follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason(String);

/// The most characters.
const MOST: usize = 500;

/// Why a text is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    /// Nothing is said, or too much.
    #[error("must have 1 to 500 characters")]
    Length,
    /// It is more than a line of text.
    #[error(
        "must be one line, without control characters and those that change a text's direction"
    )]
    Character,
}

impl Reason {
    /// Checks a text.
    ///
    /// # Errors
    /// See [`InvalidReason`].
    pub fn parse(text: &str) -> Result<Self, InvalidReason> {
        let text = text.trim();
        if text.chars().any(|c| c.is_control() || is_layout(c)) {
            return Err(InvalidReason::Character);
        }
        match text.chars().count() {
            1..=MOST => Ok(Self(text.to_owned())),
            _ => Err(InvalidReason::Length),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Line and paragraph separators, and the controls, marks and isolates of the bidirectional algorithm
/// (Unicode, UAX 9).
const fn is_layout(c: char) -> bool {
    matches!(
        c,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
    )
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_reads_as_it_is_written() {
        let of = |text: &str| Reason::parse(text).map(|reason| reason.to_string());
        assert_eq!(
            of(" Unpaid since März "),
            Ok("Unpaid since März".to_owned())
        );
        assert_eq!(of("لم يُدفع"), Ok("لم يُدفع".to_owned()));
        assert!(of(&"ä".repeat(500)).is_ok());
        for empty in ["", "  ", &"x".repeat(501)] {
            assert_eq!(of(empty), Err(InvalidReason::Length), "{empty:?}");
        }
        for bad in [
            "a\nb",
            "a\r",
            "a\0b",
            "a\u{1b}[31mb",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{2028}b",
            "a\u{200f}b",
            "a\u{85}b",
        ] {
            let padded = format!("x{bad}x");
            assert_eq!(of(&padded), Err(InvalidReason::Character), "{bad:?}");
        }
    }
}
