//! Files of `KEY=value` lines that a shell can read with `.` and we can read back.

use std::path::Path;

use tenantry_types::Secret;

use crate::failure::{Failure, Result};

/// Pairs in their order. Values need no quoting: see [`EnvFile::set`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EnvFile {
    comment: String,
    pairs: Vec<(String, Secret)>,
}

impl EnvFile {
    /// An empty file with a comment at its top.
    #[must_use]
    pub fn new(comment: &str) -> Self {
        Self {
            comment: comment.to_owned(),
            pairs: Vec::new(),
        }
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// When the value holds what a shell would not take as it stands.
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/@%+=".contains(c);
        if !value.chars().all(plain) {
            return Err(Failure::usage(format!(
                "the value for {key} holds characters that a shell would not take as they stand"
            )));
        }
        self.pairs.push((key.to_owned(), Secret::new(value)));
        Ok(self)
    }

    /// A value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.expose())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(path)?))
    }

    /// The file's text.
    #[must_use]
    pub fn print(&self) -> Secret {
        let mut text = String::new();
        for line in self.comment.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        for (key, value) in &self.pairs {
            text.push_str(&format!("{key}={}\n", value.expose()));
        }
        Secret::new(text)
    }

    /// Lines that are no pair are passed over: a person may have written them.
    fn parse(text: &str) -> Self {
        let pairs = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), Secret::new(value.trim())))
            .collect();
        Self {
            comment: String::new(),
            pairs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_is_read_back() {
        let file = EnvFile::new("first\nsecond")
            .set("A", "postgres://u:p@127.0.0.1:5/db")
            .and_then(|file| file.set("B", "route:k1:a-b_c,admin:k1:x"))
            .and_then(|file| file.set("C", ""))
            .expect("plain values");
        let text = file.print();
        assert!(
            text.expose()
                .starts_with("# first\n# second\nA=postgres://")
        );
        let back = EnvFile::parse(text.expose());
        assert_eq!(back.get("A"), Some("postgres://u:p@127.0.0.1:5/db"));
        assert_eq!(back.get("B"), Some("route:k1:a-b_c,admin:k1:x"));
        assert_eq!(back.get("C"), Some(""));
        assert_eq!(back.get("D"), None);
    }

    #[test]
    fn comments_and_stray_lines_are_passed_over() {
        let file = EnvFile::parse("# X=1\n\nnothing\n  Y = 2 \nZ=a=b\n");
        assert_eq!(file.get("X"), None);
        assert_eq!(file.get("Y"), Some("2"));
        assert_eq!(file.get("Z"), Some("a=b"));
    }

    #[test]
    fn what_a_shell_would_change_is_refused() {
        for bad in [
            "a b", "$HOME", "a;b", "`x`", "a'b", "a\"b", "a\nb", "a&b", "~*",
        ] {
            assert!(EnvFile::default().set("K", bad).is_err(), "{bad}");
        }
    }
}
