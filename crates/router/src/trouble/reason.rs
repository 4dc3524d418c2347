//! Why something failed, in a few words of our own.

use std::error::Error;
use std::{fmt, io};

use tokio::time::error::Elapsed;

use crate::connect::OpenError;

/// Why something failed. Holds nothing that a server, a tenant or a network wrote but five letters of
/// SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The tenant has as many connections as it may, and none became free in time.
    TenantBusy,
    /// The cluster's budget is in use, and no connection became free in time.
    BudgetFull,
    /// The tenant may not be served, or not now.
    NotServed,
    /// The server did not answer in time.
    TimedOut,
    /// The network refused or broke.
    Io(io::ErrorKind),
    /// The server answered with an error: its SQLSTATE.
    Server([u8; 5]),
    /// Another database answered than the expected one.
    WrongDatabase,
    /// The keys do not open the login's password.
    Sealed,
    /// None of these.
    Other,
}

impl Reason {
    pub(crate) fn of(error: &OpenError) -> Self {
        match error {
            OpenError::WrongDatabase { .. } => Self::WrongDatabase,
            OpenError::Sealed(_) => Self::Sealed,
            OpenError::Refused { sqlstate, .. } => sqlstate_of(sqlstate).unwrap_or(Self::Other),
            OpenError::Unavailable(source) => Self::of_chain(source.as_ref()),
        }
    }

    /// Whether a server answered, in whatever way but that it is not up.
    pub(crate) fn was_reached(self) -> bool {
        match self {
            Self::Server(code) => !code.starts_with(b"57P"),
            Self::WrongDatabase | Self::Sealed => true,
            _ => false,
        }
    }

    /// The first link of a chain of errors that tells something.
    fn of_chain(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Elapsed>() {
                return Self::TimedOut;
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return match error.kind() {
                    io::ErrorKind::TimedOut => Self::TimedOut,
                    kind => Self::Io(kind),
                };
            }
            if let Some(error) = error.downcast_ref::<sqlx::Error>() {
                let code = error.as_database_error().and_then(|error| error.code());
                if let Some(reason) = code.and_then(|code| sqlstate_of(&code)) {
                    return reason;
                }
                if let sqlx::Error::Io(error) = error {
                    return Self::Io(error.kind());
                }
            }
            next = error.source();
        }
        Self::Other
    }
}

fn sqlstate_of(code: &str) -> Option<Reason> {
    let code: [u8; 5] = code.as_bytes().try_into().ok()?;
    let sane = code
        .iter()
        .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    sane.then_some(Reason::Server(code))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::TenantBusy => "all connections that the tenant may have are in use",
            Self::BudgetFull => "all connections of the cluster's budget are in use",
            Self::NotServed => "the tenant is not served in its state",
            Self::TimedOut => "the server did not answer in time",
            Self::Io(io::ErrorKind::ConnectionRefused) => "nothing listens at the server's address",
            Self::Io(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                "the connection was cut off"
            }
            Self::Io(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                "the server's network cannot be reached"
            }
            Self::Io(_) => "the server's address cannot be reached",
            Self::Server(code) => {
                // Checked when it was made.
                let code = std::str::from_utf8(code).unwrap_or("?????");
                let what = match code {
                    "28P01" => "the server refused the password",
                    "28000" => "the server does not let the login in",
                    "3D000" => "the server has no such database",
                    "42501" => "the login may not connect to the database",
                    "53300" => "the server has too many connections",
                    "55000" => "the database accepts no connections",
                    "57P01" | "57P02" | "57P03" => "the server is starting or stopping",
                    _ => "the server answered with an error",
                };
                return write!(f, "{what} ({code})");
            }
            Self::WrongDatabase => "another database answered than the expected one",
            Self::Sealed => "the keys do not open the login's password",
            Self::Other => "it failed for another reason; the log has it",
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tried: with any five letters taken for an SQLSTATE, a mail address is quoted.
    #[test]
    fn a_reason_is_found_through_the_layers_and_quotes_nothing() {
        let deep = |error: sqlx::Error| OpenError::Unavailable(Box::new(error));
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "at ann@acme.example");
        let reason = Reason::of(&deep(sqlx::Error::Io(refused)));
        assert_eq!(reason, Reason::Io(io::ErrorKind::ConnectionRefused));
        assert!(!reason.to_string().contains("ann") && !reason.was_reached());
        let other = Reason::of(&deep(sqlx::Error::Protocol("ann@acme.example".into())));
        assert_eq!(other, Reason::Other);
        assert_eq!(sqlstate_of("a@b.c"), None, "no letters of anybody else's");
        let starting = sqlstate_of("57P03").expect("a code");
        assert!(!starting.was_reached());
        assert!(starting.to_string().contains("starting"));
        let full = sqlstate_of("53300").expect("a code");
        assert!(full.was_reached());
    }
}
