//! The address a request came from: the socket's, unless that is a proxy the operator trusts.
//!
//! Anyone can send `X-Forwarded-For`, and a proxy appends to what was sent. So the list is read from
//! its right end, and only as far as each address is a proxy's that we trust.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::app::App;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// None when the service is not served from a socket.
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let trusted = &app.config.trusted_proxies;
        Ok(Self(client_of(&parts.extensions, &parts.headers, trusted)))
    }
}

/// The address that a request came from.
pub(crate) fn client_of(
    extensions: &Extensions,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| client(peer.ip(), headers, trusted))
}

/// Whether a request comes straight from a proxy that the operator trusts.
pub(crate) fn from_proxy(extensions: &Extensions, trusted: &[IpNet]) -> bool {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| is_proxy(peer.ip().to_canonical(), trusted))
}

fn is_proxy(ip: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&ip))
}

/// The nearest address that is no trusted proxy; the peer when there is none or the list cannot be
/// read so far.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    // A socket of IPv6 shows peers of IPv4 as ::ffff:a.b.c.d.
    let peer = peer.to_canonical();
    if !is_proxy(peer, trusted) {
        return peer;
    }
    // Several lines are one list (RFC 9110, 5.3).
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        match address(hop.trim()) {
            Some(ip) if is_proxy(ip, trusted) => {}
            Some(ip) => return ip,
            None => return peer,
        }
    }
    peer
}

/// An address; some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse().ok();
    let ip = plain.or_else(|| {
        text.parse()
            .ok()
            .map(|with_port: SocketAddr| with_port.ip())
    });
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).expect("a header");
            headers.append(FORWARDED_FOR, line);
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().expect("it")).collect();
        client(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_it_added_itself() {
        const NOBODY: &[&str] = &[];
        const LAN: &[&str] = &["10.0.0.0/8", "2001:db8::/48"];
        const PROXY: &str = "10.0.0.1";
        for (peer, lines, trusted, expected) in [
            // Nobody is trusted, or not this peer.
            (PROXY, &["192.0.2.1"][..], NOBODY, PROXY),
            ("192.0.2.9", &["192.0.2.1"], LAN, "192.0.2.9"),
            ("2001:db8:1::1", &["192.0.2.1"], LAN, "2001:db8:1::1"),
            // What a proxy says.
            (PROXY, &["192.0.2.1"], LAN, "192.0.2.1"),
            ("::ffff:10.0.0.1", &["192.0.2.1"], LAN, "192.0.2.1"),
            ("2001:db8::1", &["2001:db8:1::7"], LAN, "2001:db8:1::7"),
            (PROXY, &["192.0.2.1, 10.0.0.2"], LAN, "192.0.2.1"),
            (PROXY, &["192.0.2.1", "10.0.0.2"], LAN, "192.0.2.1"),
            (PROXY, &["192.0.2.1:4711"], LAN, "192.0.2.1"),
            (PROXY, &["[2001:db8:1::7]:4711"], LAN, "2001:db8:1::7"),
            (PROXY, &["::ffff:192.0.2.1"], LAN, "192.0.2.1"),
            // What a client sent before the proxy appended its address.
            (PROXY, &["198.51.100.1, 192.0.2.1"], LAN, "192.0.2.1"),
            (PROXY, &["198.51.100.1", "192.0.2.1"], LAN, "192.0.2.1"),
            (PROXY, &["10.0.0.9, 192.0.2.1"], LAN, "192.0.2.1"),
            (PROXY, &["10.0.0.9, 192.0.2.1, 10.0.0.2"], LAN, "192.0.2.1"),
            (PROXY, &["nonsense,, 192.0.2.1"], LAN, "192.0.2.1"),
            (PROXY, &["\u{e4}", "192.0.2.1"], LAN, "192.0.2.1"),
            // Nothing that can be used.
            (PROXY, &[], LAN, PROXY),
            (PROXY, &[""], LAN, PROXY),
            (PROXY, &["10.0.0.2"], LAN, PROXY),
            (PROXY, &["192.0.2.1, unknown"], LAN, PROXY),
            (PROXY, &["192.0.2.1,"], LAN, PROXY),
            (PROXY, &["192.0.2.1", "\u{e4}"], LAN, PROXY),
            (PROXY, &["192.0.2.1, unknown, 10.0.0.2"], LAN, PROXY),
            (PROXY, &["192.0.2.256"], LAN, PROXY),
        ] {
            let seen = seen(peer, lines, trusted);
            assert_eq!(seen, expected, "{peer} {lines:?} {trusted:?}");
        }
    }
}
