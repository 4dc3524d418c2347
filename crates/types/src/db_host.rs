//! Where a Postgres server listens, as it is written in one way.

use std::fmt;
use std::net::IpAddr;

/// A host name in lower case without a final dot, or an IP address. No folder of a socket: what is told over
/// the network is reached over the network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DbHost(String);

/// A text that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name or an IP address, without a port")]
pub struct InvalidDbHost;

impl DbHost {
    /// Reads it. Names of one label and underscores are fine: machines of a private network have such.
    ///
    /// # Errors
    /// [`InvalidDbHost`].
    pub fn parse(text: &str) -> Result<Self, InvalidDbHost> {
        let text = text.trim();
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self(ip.to_canonical().to_string()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        // What ends in a number is an address that was not well written (WHATWG URL, "ends in a number").
        let last = name.rsplit('.').next().unwrap_or_default();
        let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
        if name.len() > 253 || number || !name.split('.').all(is_label) {
            return Err(InvalidDbHost);
        }
        Ok(Self(name))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DbHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_written_in_one_way() {
        for (text, host) in [
            ("DB-1.Internal.", "db-1.internal"),
            ("db_1", "db_1"),
            ("10.0.0.5", "10.0.0.5"),
            ("[::1]", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("::ffff:10.0.0.5", "10.0.0.5"),
        ] {
            assert_eq!(DbHost::parse(text).expect(text).as_str(), host);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "/var/run/postgresql",
            "db:5432",
            "a b",
            "a/b",
            "a@b",
            "0x7f000001",
            "2130706433",
            "10.0.5",
            "db\0",
            "dß.example",
        ] {
            assert_eq!(DbHost::parse(text), Err(InvalidDbHost), "{text}");
        }
    }
}
