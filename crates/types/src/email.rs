//! Mail addresses.

use std::fmt;

/// A mail address in the form we compare: trimmed, in lower case.
///
/// `Display` gives the address for an answer; `Debug` masks it, because a log line never holds one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

/// Why a text is no mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no mail address: write it as name@host.example, at most 254 characters")]
pub struct InvalidEmail;

impl Email {
    /// Checks and normalises a text.
    ///
    /// Only the shape is checked (one `@`, a dotted or single-label host without spaces): whether an
    /// address works is shown by a mail that arrives, not by a pattern.
    ///
    /// # Errors
    /// When the text has no such shape or is longer than 254 bytes (RFC 5321 section 4.5.3.1.3).
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim().to_lowercase();
        let (local, host) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let plain = |part: &str| {
            !part.is_empty()
                && !part
                    .chars()
                    .any(|c| c.is_whitespace() || c.is_control() || c == '@')
        };
        let host_ok = plain(host)
            && host.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            });
        if plain(local) && local.len() <= 64 && host_ok && text.len() <= 254 {
            Ok(Self(text))
        } else {
            Err(InvalidEmail)
        }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case() {
        let address = Email::parse("  Ann@Acme.Example ").expect("an address");
        assert_eq!(address.as_str(), "ann@acme.example");
        assert_eq!(format!("{address:?}"), "Email(***)");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "ann",
            "@acme.example",
            "ann@",
            "a b@c.d",
            "a@b@c",
            "a@b..c",
            "a@-b.c",
            "a@b\n.c",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }
}
