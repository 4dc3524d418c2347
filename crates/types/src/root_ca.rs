//! The authority that a cluster's certificate is from, where that is no public one.

use std::fmt;
use std::sync::Arc;

/// The longest that is taken: a bundle of a provider's authorities is a few hundred of kilobytes at most, and
/// a route carries it.
const LONGEST: usize = 64 * 1024;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// One certificate or more in PEM. Public, and shared by all that know it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RootCa(Arc<str>);

/// A text that is no certificate in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRootCa {
    /// There is none in it.
    #[error("must hold a certificate in PEM, from `-----BEGIN CERTIFICATE-----` on")]
    NoCertificate,
    /// Somebody gave the key as well: it is not to be kept, nor sent to routers.
    #[error(
        "must hold certificates only; there is a private key in it, which belongs on no other machine"
    )]
    PrivateKey,
    /// Longer than it may be.
    #[error("must have 64 KiB at most")]
    TooLong,
}

impl RootCa {
    /// Reads it. What stands around the certificates is left out. Whether they are any is found out by whoever
    /// connects.
    ///
    /// # Errors
    /// See [`InvalidRootCa`].
    pub fn parse(text: &str) -> Result<Self, InvalidRootCa> {
        if text.len() > LONGEST {
            return Err(InvalidRootCa::TooLong);
        }
        if text.contains("PRIVATE KEY-----") {
            return Err(InvalidRootCa::PrivateKey);
        }
        let mut found = String::new();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(BEGIN) {
            let (body, after) = after.split_once(END).ok_or(InvalidRootCa::NoCertificate)?;
            let lines: Vec<_> = body
                .lines()
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .collect();
            let base64 = |line: &&str| {
                line.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
            };
            if lines.is_empty() || !lines.iter().all(base64) {
                return Err(InvalidRootCa::NoCertificate);
            }
            found.push_str(&format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")));
            rest = after;
        }
        if found.is_empty() {
            return Err(InvalidRootCa::NoCertificate);
        }
        Ok(Self(found.into()))
    }

    /// In PEM.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How long it is; the rest is of no use in a log.
impl fmt::Debug for RootCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootCa({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMIIB+/==\n-----END CERTIFICATE-----\n";

    #[test]
    fn certificates_are_read_and_the_rest_left_out() {
        let bundle = format!(
            "# An authority\r\n{}\nissuer=…\n{ONE}",
            ONE.replace('\n', "\r\n")
        );
        let read = RootCa::parse(&bundle).expect("two");
        assert_eq!(read.as_str(), format!("{ONE}{ONE}"));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for none in [
            "",
            "MIIB",
            BEGIN,
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(
                RootCa::parse(none),
                Err(InvalidRootCa::NoCertificate),
                "{none}"
            );
        }
        let other = ONE.replace("MIIB", "a' OR 'b");
        assert_eq!(RootCa::parse(&other), Err(InvalidRootCa::NoCertificate));
        let key =
            format!("{ONE}-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----");
        assert_eq!(RootCa::parse(&key), Err(InvalidRootCa::PrivateKey));
        let long = ONE.repeat(LONGEST / ONE.len() + 1);
        assert_eq!(RootCa::parse(&long), Err(InvalidRootCa::TooLong));
    }
}
