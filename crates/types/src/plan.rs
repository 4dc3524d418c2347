//! The plan a tenant is on.

use std::fmt;

/// The name of a plan, e.g. `free` or `pro`: 1 to 40 of `a-z`, `0-9`, `-`, `_`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan(String);

/// Why a text is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no plan name: use 1 to 40 of a-z, 0-9, `-` and `_`, beginning with a letter")]
pub struct InvalidPlan;

impl Plan {
    /// Checks a text.
    ///
    /// # Errors
    /// When the text has another shape.
    pub fn parse(text: &str) -> Result<Self, InvalidPlan> {
        let shape = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.len() <= 40
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if shape {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPlan)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self("free".to_owned())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
