//! Which host a request names. One and only one: a proxy and we could read different ones of two.
//!
//! Many a proxy passes on what it was sent. So an `X-Forwarded-Host` never counts against a `Host` that
//! leads to another tenant: that is what it looks like when the proxy set `Host` and the client the rest.

use std::net::SocketAddr;

use ::axum::extract::{ConnectInfo, OriginalUri};
use ::axum::http::header::HOST;
use ::axum::http::request::Parts;
use ::axum::http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use tenantry_types::Slug;

use super::Rejection;
use crate::{Asked, BadHost, HostName, Router, present_host};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a request says of the host it asks for.
pub(super) struct Named<'a> {
    /// What a trusted proxy says that was asked for, else what the request itself says.
    host: &'a str,
    /// What the request itself says, where the proxy's word counts.
    besides: Option<&'a str>,
}

/// Reads the headers; nothing is compared yet.
pub(super) fn of<'a>(parts: &'a Parts, proxies: &[IpNet]) -> Result<Named<'a>, Rejection> {
    let direct = match (parts.uri.authority(), only(parts, HOST)?) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host) => {
            return Err(BadHost.into());
        }
        // HTTP/2 sends the host in the request's target, and a target in absolute form wins over
        // the header (RFC 9112, 3.2.2).
        (Some(target), _) => Some(target.as_str()),
        (None, host) => host,
    };
    if is_from(proxies, parts)?
        && let Some(host) = only(parts, FORWARDED_HOST)?
    {
        let besides = direct;
        return Ok(Named { host, besides });
    }
    let host = direct.ok_or(BadHost)?;
    let besides = None;
    Ok(Named { host, besides })
}

impl Named<'_> {
    /// Where the same request goes at the host of the tenant's present slug. The scheme is left out: the
    /// client keeps the one it came by (RFC 3986, 4.2).
    pub(super) fn moved(&self, parts: &Parts, to: &Slug) -> Option<HeaderValue> {
        let host = present_host(self.host, to)?;
        let path = parts
            .extensions
            .get::<OriginalUri>()
            .map_or(&parts.uri, |uri| &uri.0);
        let path = path.path_and_query().map_or("/", |path| path.as_str());
        HeaderValue::from_bytes(format!("//{host}{path}").as_bytes()).ok()
    }

    /// What it names, unless `Host` leads to another tenant.
    pub(super) async fn agreed(&self, router: &Router) -> Result<HostName, Rejection> {
        let host = router.parse_host(self.host)?;
        let besides = self.besides.map(|name| router.parse_host(name));
        // What proxies call us: our address, a name inside a cluster, the base domain.
        let Some(Ok(besides @ (HostName::Subdomain(_) | HostName::Custom(_)))) = besides else {
            return Ok(host);
        };
        if besides == host {
            return Ok(host);
        }
        let Some(tenant) = router.tenant_of(&Asked::Host(besides)).await? else {
            return Ok(host);
        };
        let same = match &host {
            HostName::Subdomain(_) | HostName::Custom(_) => {
                router.tenant_of(&Asked::Host(host.clone())).await? == Some(tenant)
            }
            HostName::Base | HostName::Unknown => return Err(BadHost.into()),
        };
        match same {
            true => Ok(host),
            false => Err(Rejection::WrongTenant),
        }
    }
}

fn is_from(proxies: &[IpNet], parts: &Parts) -> Result<bool, Rejection> {
    if proxies.is_empty() {
        return Ok(false);
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // A socket of IPv6 shows peers of IPv4 as ::ffff:a.b.c.d.
    let peer = peer.ok_or(Rejection::NoPeer)?.0.ip().to_canonical();
    Ok(proxies.iter().any(|network| network.contains(&peer)))
}

fn only(parts: &Parts, name: HeaderName) -> Result<Option<&str>, BadHost> {
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| BadHost),
        (Some(_), Some(_)) => Err(BadHost),
    }
}

#[cfg(test)]
mod tests {
    use ::axum::http::Request;

    use super::*;

    fn host(target: &str, headers: &[(&str, &str)], peer: Option<&str>, trusted: &str) -> String {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(peer) = peer {
            let peer: SocketAddr = format!("{peer}:1").parse().expect("an address");
            request = request.extension(ConnectInfo(peer));
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        let trusted: Vec<IpNet> = trusted.split_terminator(',').map(net).collect();
        match of(&parts, &trusted) {
            Ok(named) => named.host.to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    /// Tried: with every peer taken for a proxy, a stranger's header counts; with the first of two taken, two
    /// are no error.
    #[test]
    fn a_forwarded_host_counts_from_a_trusted_proxy_only() {
        let headers = &[("host", "app:8080"), ("x-forwarded-host", "acme.localhost")];
        let from = |peer, trusted| host("/", headers, peer, trusted);
        assert_eq!(from(Some("10.0.0.1"), "10.0.0.0/8"), "acme.localhost");
        assert_eq!(from(Some("192.0.2.1"), "10.0.0.0/8"), "app:8080");
        assert_eq!(from(Some("10.0.0.1"), ""), "app:8080");
        assert_eq!(from(None, ""), "app:8080");
        assert_eq!(from(None, "10.0.0.0/8"), "INTERNAL", "nobody knows");
        let two = &[("x-forwarded-host", "a.localhost"), headers[0], headers[1]];
        let told = host("/", two, Some("10.0.0.1"), "10.0.0.0/8");
        assert_eq!(told, "BAD_HOST");
        let two = &[headers[0], ("host", "acme.localhost"), headers[1]];
        let told = host("/", two, Some("10.0.0.1"), "10.0.0.0/8");
        assert_eq!(told, "BAD_HOST");
        let none = host("/", &headers[1..], Some("10.0.0.1"), "10.0.0.0/8");
        assert_eq!(none, "acme.localhost", "HTTP/1.0");
        let none = host("/", &headers[..1], Some("10.0.0.1"), "10.0.0.0/8");
        assert_eq!(none, "app:8080");
    }

    /// Tried: with a target that wins over another `Host`, and with the first of two, there is an answer.
    #[test]
    fn one_host_is_read_from_the_target_or_the_header() {
        let host = |target, headers| host(target, headers, None, "");
        const ACME: (&str, &str) = ("host", "acme.localhost");
        const OTHER: (&str, &str) = ("host", "other.localhost");
        assert_eq!(host("/", &[ACME]), "acme.localhost");
        assert_eq!(host("http://acme.localhost/", &[]), "acme.localhost");
        assert_eq!(host("http://ACME.localhost/", &[ACME]), "ACME.localhost");
        assert_eq!(host("http://acme.localhost/", &[OTHER]), "BAD_HOST");
        assert_eq!(host("/", &[ACME, OTHER]), "BAD_HOST");
        assert_eq!(host("/", &[]), "BAD_HOST");
    }
}
