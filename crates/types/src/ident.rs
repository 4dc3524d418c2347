//! Names of things inside Postgres.

use std::fmt;

/// A name that Postgres takes without surprises: `[a-z_][a-z0-9_]*`, at most 63 bytes.
///
/// Narrower than what Postgres allows (it would take anything between double quotes): our names
/// are made by us, and a name that needs quoting is a name that some tool forgets to quote.
/// `Display` gives it with double quotes, ready for a statement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgIdent(String);

/// The name of a database.
pub type DbName = Tagged<DbTag>;
/// The name of a login or group.
pub type RoleName = Tagged<RoleTag>;

/// A [`PgIdent`] that says what it names.
pub struct Tagged<T>(PgIdent, std::marker::PhantomData<T>);

/// Marks the name of a database.
pub enum DbTag {}
/// Marks the name of a login or group.
pub enum RoleTag {}

/// Why a text is no name for something in Postgres.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no usable Postgres name: use lower-case letters, digits and `_`, begin with a letter or `_`, at most 63 characters"
)]
pub struct InvalidIdent(String);

impl PgIdent {
    /// Checks a text.
    ///
    /// # Errors
    /// When the text is not `[a-z_][a-z0-9_]*` or longer than 63 bytes.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidIdent> {
        let text = text.into();
        let mut bytes = text.bytes();
        let head = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let tail = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if head && tail && text.len() <= 63 {
            Ok(Self(text))
        } else {
            Err(InvalidIdent(text))
        }
    }

    /// The bare name, for a bind parameter or a connection's options. Not for a statement.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PgIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl fmt::Debug for PgIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T> Tagged<T> {
    /// Checks a text.
    ///
    /// # Errors
    /// As [`PgIdent::parse`].
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidIdent> {
        PgIdent::parse(text).map(|ident| Self(ident, std::marker::PhantomData))
    }

    /// The bare name, for a bind parameter or a connection's options. Not for a statement.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<T> Clone for Tagged<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), std::marker::PhantomData)
    }
}

impl<T> PartialEq for Tagged<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Tagged<T> {}

impl<T> std::hash::Hash for Tagged<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T> fmt::Display for Tagged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Tagged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        for good in ["tenant_acme", "_x", "a1", &"a".repeat(63)] {
            assert!(PgIdent::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1a",
            "Acme",
            "a-b",
            "a\"b",
            "a b",
            "ä",
            "a\0",
            &"a".repeat(64),
        ] {
            assert!(PgIdent::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn display_is_quoted_for_statements() {
        let name = DbName::parse("tenant_acme").expect("a good name");
        assert_eq!(name.to_string(), "\"tenant_acme\"");
        assert_eq!(name.as_str(), "tenant_acme");
    }
}
