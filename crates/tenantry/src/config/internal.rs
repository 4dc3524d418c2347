//! The internal listener: `/metrics` and what else is for those who run the program, and for their
//! proxies.

use std::net::SocketAddr;

use serde::Deserialize;
use tenantry_types::DomainName;

use crate::failure::{Failure, Result};

/// Where the internal listener is.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct InternalSettings {
    /// `internal_listen`: 127.0.0.1:9464; a free port in `dev`. See [`InternalSettings::address`].
    pub internal_listen: String,
    /// `internal_allow_remote`: off. Nobody is asked who they are there.
    pub internal_allow_remote: bool,
    /// `internal_hosts`: none. See [`InternalSettings::hosts`] for them as names.
    pub internal_hosts: Vec<String>,
}

impl Default for InternalSettings {
    fn default() -> Self {
        Self {
            internal_listen: "127.0.0.1:9464".to_owned(),
            internal_allow_remote: false,
            internal_hosts: Vec::new(),
        }
    }
}

impl InternalSettings {
    /// The address; none when it is `off`.
    ///
    /// # Errors
    /// When it is no address, or one that others can reach and nobody said that they may.
    pub fn address(&self) -> Result<Option<SocketAddr>> {
        let text = self.internal_listen.trim();
        if text == "off" {
            return Ok(None);
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            Failure::usage(format!(
                "`internal_listen`: `{text}` is neither an address and port like 127.0.0.1:9464 nor `off`"
            ))
        })?;
        if !address.ip().is_loopback() && !self.internal_allow_remote {
            return Err(Failure::usage(format!(
                "`internal_listen`: {address} can be reached from other machines, and whoever reaches it may read everything there"
            ))
            .next("use a loopback address, or set `internal_allow_remote` to true where the network lets only your own monitoring through"));
        }
        Ok(Some(address))
    }

    /// Names by which it may be asked.
    ///
    /// # Errors
    /// When one is no host name, or is one with a port.
    pub fn hosts(&self) -> Result<Vec<DomainName>> {
        let parse = |text: &String| {
            DomainName::parse(text)
                .map_err(|error| Failure::usage(format!("`internal_hosts`: `{text}` {error}")))
        };
        self.internal_hosts.iter().map(parse).collect()
    }

    /// Itself, if its parts are usable.
    pub(super) fn checked(self) -> Result<Self> {
        self.address()?;
        self.hosts()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, remote: bool) -> Result<Option<String>> {
        let settings = InternalSettings {
            internal_listen: text.to_owned(),
            internal_allow_remote: remote,
            ..InternalSettings::default()
        };
        Ok(settings.address()?.map(|address| address.to_string()))
    }

    #[test]
    fn it_is_a_loopback_address_or_off() {
        for good in ["127.0.0.1:9464", "127.0.0.2:1", "[::1]:0"] {
            assert_eq!(address(good, false).ok().flatten().as_deref(), Some(good));
        }
        assert_eq!(address("off", false).ok(), Some(None));
        for bad in ["", "9464", "localhost:9464", "127.0.0.1", "none"] {
            let failure = address(bad, false).expect_err(bad);
            assert!(failure.text().contains("`internal_listen`"), "{bad}");
        }
    }

    #[test]
    fn its_names_are_names_without_a_port() {
        let hosts = |name: &str| {
            let settings = InternalSettings {
                internal_hosts: vec![name.to_owned()],
                ..InternalSettings::default()
            };
            settings.hosts()
        };
        for good in ["tenantry", "Metrics.internal", "metrics.internal."] {
            assert_eq!(hosts(good).map(|hosts| hosts.len()).ok(), Some(1), "{good}");
        }
        for bad in ["", "tenantry:9464", "*.internal", "http://tenantry"] {
            let told = hosts(bad).expect_err(bad).text();
            assert!(told.contains("`internal_hosts`"), "{told}");
        }
    }

    #[test]
    fn others_reach_it_only_where_that_was_said() {
        for open in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464"] {
            let text = address(open, false).expect_err(open).text();
            assert!(text.contains("internal_allow_remote"), "{text}");
            assert_eq!(address(open, true).ok().flatten().as_deref(), Some(open));
        }
    }
}
