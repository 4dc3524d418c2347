//! Where we listen and how people reach us.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;
use serde::Deserialize;
use tenantry_types::DomainName;

use crate::failure::{Failure, Result};

/// The public listener, the domains, and what answers say of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct WebSettings {
    /// `listen`: 127.0.0.1:3000.
    pub listen: SocketAddr,
    /// `base_domains`: localhost. See [`WebSettings::domains`] for them as names.
    pub base_domains: Vec<String>,
    /// `public_url`: `https://` and the first base domain; with `secure_cookies` off, `http://` and
    /// the port we listen on. See [`WebSettings::public`].
    pub public_url: Option<String>,
    /// `allow_tenant_header`: off; on in `dev`.
    pub allow_tenant_header: bool,
    /// `alias_headers`: on.
    pub alias_headers: bool,
    /// `forwarded_host`: on.
    pub forwarded_host: bool,
    /// `trusted_proxies`: none. See [`WebSettings::proxies`] for them as networks.
    pub trusted_proxies: Vec<String>,
    /// `secure_cookies`: on; off in `dev`.
    pub secure_cookies: bool,
    /// `access_token_ttl`: 15m.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub access_token_ttl: Duration,
    /// `refresh_token_ttl`: 30d.
    #[serde(deserialize_with = "super::duration::deserialize")]
    pub refresh_token_ttl: Duration,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            base_domains: vec!["localhost".to_owned()],
            public_url: None,
            allow_tenant_header: false,
            alias_headers: true,
            forwarded_host: true,
            trusted_proxies: Vec::new(),
            secure_cookies: true,
            access_token_ttl: Duration::from_secs(15 * 60),
            refresh_token_ttl: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// How people reach the base domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// The port, where it is not the scheme's own.
    pub port: Option<u16>,
    /// The whole, without a final slash: names us in tokens.
    pub text: String,
}

impl WebSettings {
    /// The base domains as names.
    ///
    /// # Errors
    /// When there is none, or one is no host name.
    pub fn domains(&self) -> Result<Vec<DomainName>> {
        if self.base_domains.is_empty() {
            return Err(Failure::usage(
                "`base_domains` must name at least one domain",
            ));
        }
        let parse = |text: &String| {
            DomainName::parse(text)
                .map_err(|error| Failure::usage(format!("`base_domains`: `{text}` {error}")))
        };
        self.base_domains.iter().map(parse).collect()
    }

    /// The trusted proxies as networks; an address is a network of one.
    ///
    /// # Errors
    /// When one is neither an address nor a network.
    pub fn proxies(&self) -> Result<Vec<IpNet>> {
        let parse = |text: &String| {
            let network = text.parse().ok();
            network
                .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
                .ok_or_else(|| {
                    Failure::usage(format!(
                        "`trusted_proxies`: `{text}` is neither an address nor a network like 10.0.0.0/8"
                    ))
                })
        };
        self.trusted_proxies.iter().map(parse).collect()
    }

    /// How people reach the base domain.
    ///
    /// # Errors
    /// When `public_url` is no plain `http` or `https` URL of a base domain.
    pub fn public(&self) -> Result<PublicUrl> {
        let domains = self.domains()?;
        let text = match (&self.public_url, self.secure_cookies) {
            (Some(text), _) => text.clone(),
            (None, true) => format!("https://{}", domains[0].as_str()),
            (None, false) => format!("http://{}:{}", domains[0].as_str(), self.listen.port()),
        };
        let wrong = |why: &str| Failure::usage(format!("`public_url` {why}: `{text}`"));
        let url = Url::parse(&text).map_err(|_| wrong("is no URL"))?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !plain {
            return Err(wrong(
                "must be http:// or https:// with a host and no more than a port",
            ));
        }
        let host = url.host_str().and_then(|host| DomainName::parse(host).ok());
        if !host.is_some_and(|host| domains.contains(&host)) {
            return Err(wrong("must be at one of `base_domains`"));
        }
        Ok(PublicUrl {
            scheme: url.scheme().to_owned(),
            port: url.port(),
            text: text.trim_end_matches('/').to_owned(),
        })
    }

    /// Itself, if its parts are usable.
    pub(super) fn checked(self) -> Result<Self> {
        self.public()?;
        self.proxies()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(url: Option<&str>, secure: bool) -> Option<(String, Option<u16>)> {
        let settings = WebSettings {
            public_url: url.map(str::to_owned),
            secure_cookies: secure,
            base_domains: vec!["example.com".to_owned()],
            ..WebSettings::default()
        };
        settings
            .public()
            .ok()
            .map(|public| (public.text, public.port))
    }

    #[test]
    fn the_public_url_follows_the_domain_unless_it_is_set() {
        assert_eq!(
            public(None, true),
            Some(("https://example.com".to_owned(), None))
        );
        assert_eq!(
            public(None, false),
            Some(("http://example.com:3000".to_owned(), Some(3000)))
        );
        let set = Some(("https://example.com:8443".to_owned(), Some(8443)));
        assert_eq!(public(Some("https://example.com:8443/"), true), set);
    }

    #[test]
    fn a_public_url_elsewhere_or_with_more_in_it_is_refused() {
        for bad in [
            "example.com",
            "ftp://example.com",
            "https://other.org",
            "https://a@example.com",
            "https://example.com/x",
        ] {
            assert_eq!(public(Some(bad), true), None, "{bad}");
        }
    }
}
