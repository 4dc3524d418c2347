//! Which host a request names. One and only one: a proxy and we could read different ones of two.

use std::net::SocketAddr;

use ::axum::extract::ConnectInfo;
use ::axum::http::HeaderName;
use ::axum::http::header::HOST;
use ::axum::http::request::Parts;
use ipnet::IpNet;

use super::Rejection;
use crate::BadHost;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a trusted proxy says that was asked for, else what the request itself says.
pub(super) fn of<'a>(parts: &'a Parts, proxies: &[IpNet]) -> Result<&'a str, Rejection> {
    if is_from(proxies, parts)?
        && let Some(host) = only(parts, FORWARDED_HOST)?
    {
        return Ok(host);
    }
    Ok(match (parts.uri.authority(), only(parts, HOST)?) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host) => {
            return Err(BadHost.into());
        }
        // HTTP/2 sends the host in the request's target, and a target in absolute form wins over
        // the header (RFC 9112, 3.2.2).
        (Some(target), _) => target.as_str(),
        (None, Some(host)) => host,
        (None, None) => return Err(BadHost.into()),
    })
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
            Ok(host) => host.to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

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
        let none = host("/", &headers[..1], Some("10.0.0.1"), "10.0.0.0/8");
        assert_eq!(none, "app:8080");
    }

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
