//! What an operator may set about the HTTP face, with its defaults.

use std::time::Duration;

use ipnet::IpNet;
use tenantry_types::DomainName;

/// Settings of the HTTP face.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The names at which the control plane answers; tenants live one label below. The first one
    /// is used in the URLs we tell. Default `localhost`.
    pub base_domains: Vec<DomainName>,
    /// Whether `x-tenant-id` may name the tenant. Off by default: behind a proxy that does not strip
    /// it, any client could send it.
    pub allow_tenant_header: bool,
    /// Whether `x-app-id`, `x-store-id` and `x-channel-token` may name the tenant. On by default: they
    /// lead only where an operator has set such an alias.
    pub alias_headers: bool,
    /// Proxies whose `X-Forwarded-For` names the client, and whose `X-Forwarded-Host` names the host.
    /// None by default: without one, the headers could be sent by anyone.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the trusted proxies' `X-Forwarded-Host` and `Forwarded` name the host. On by default.
    pub forwarded_host: bool,
    /// Whether cookies are `Secure` with the `__Host-` prefix. On by default; off for `http://`.
    pub secure_cookies: bool,
    /// The longest body in bytes. Default 256 KiB.
    pub body_limit: usize,
    /// How long a request may take. Default 30 s.
    pub request_timeout: Duration,
    /// How long an access token lives. Default 15 minutes.
    pub access_token_ttl: Duration,
    /// How long a session lives without a new sign-in. Default 30 days.
    pub refresh_token_ttl: Duration,
    /// How many tenants one sign-in at a base domain tries at most. Default 8.
    pub sign_in_tenants: u32,
    /// A refused sign-in at a base domain is answered this long after it came, or at a multiple of it.
    /// Default 1 s.
    pub sign_in_floor: Duration,
    /// How long the code of a sign-in at a base domain is good. Default 60 s.
    pub sign_in_code_ttl: Duration,
    /// `http` or `https`, as clients see it. Default `https`.
    pub public_scheme: String,
    /// The port in the URLs we tell; none for the scheme's own.
    pub public_port: Option<u16>,
    /// `iss` of access tokens. Default `tenantry`.
    pub issuer: String,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            base_domains: DomainName::parse("localhost").into_iter().collect(),
            allow_tenant_header: false,
            alias_headers: true,
            trusted_proxies: Vec::new(),
            forwarded_host: true,
            secure_cookies: true,
            body_limit: 256 * 1024,
            request_timeout: Duration::from_secs(30),
            access_token_ttl: Duration::from_secs(15 * 60),
            refresh_token_ttl: Duration::from_secs(30 * 24 * 3600),
            sign_in_tenants: 8,
            sign_in_floor: Duration::from_secs(1),
            sign_in_code_ttl: Duration::from_secs(60),
            public_scheme: "https".to_owned(),
            public_port: None,
            issuer: "tenantry".to_owned(),
        }
    }
}

impl ApiConfig {
    /// The URL of a tenant by its primary domain: one label lies under the first base domain, a
    /// longer name stands for itself.
    pub(crate) fn url_of(&self, primary_domain: &str) -> String {
        let base = match self.base_domains.first() {
            Some(base) if !primary_domain.contains('.') => format!(".{base}"),
            _ => String::new(),
        };
        self.origin(&format!("{primary_domain}{base}"))
    }

    /// The origins of the base domains' pages, as browsers write them.
    pub(crate) fn base_origins(&self) -> impl Iterator<Item = String> {
        self.base_domains
            .iter()
            .map(|base| self.origin(base.as_str()))
    }

    fn origin(&self, host: &str) -> String {
        let port = self
            .public_port
            .map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{host}{port}", self.public_scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_url_is_what_a_browser_opens() {
        let dev = ApiConfig {
            public_scheme: "http".into(),
            public_port: Some(3000),
            ..ApiConfig::default()
        };
        assert_eq!(dev.url_of("acme"), "http://acme.localhost:3000");
        assert_eq!(
            dev.url_of("shop.acme.example"),
            "http://shop.acme.example:3000"
        );
        assert_eq!(
            ApiConfig::default().url_of("acme"),
            "https://acme.localhost"
        );
    }
}
