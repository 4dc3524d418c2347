//! By which names the internal listener may be asked.
//!
//! It is protected by where it can be reached from, and a browser of somebody who can reach it runs
//! pages of strangers. Such a page may call its own name, and let that name lead to 127.0.0.1 a moment
//! later (DNS rebinding): the answer would be the page's to read. A name of the page's is in `Host`,
//! though; so only addresses and names that are known to be ours are answered.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};
use tenantry_types::DomainName;

pub(super) async fn only_ours(
    State(names): State<Arc<[DomainName]>>,
    request: Request,
    next: Next,
) -> Response {
    if is_ours(request.uri(), request.headers(), &names) {
        return next.run(request).await;
    }
    let told = "This listener is asked by an address, by localhost or by a name in `internal_hosts`. A proxy \
                that asks it must not pass on the Host of its client.\n";
    (StatusCode::MISDIRECTED_REQUEST, told).into_response()
}

/// Nothing said is fine: browsers always say it, and some health checks do not.
fn is_ours(uri: &Uri, headers: &HeaderMap, names: &[DomainName]) -> bool {
    let in_target = uri.authority().map(Authority::as_str);
    let in_headers = headers.get_all(HOST).iter().map(|host| host.to_str().ok());
    in_target
        .map(Some)
        .into_iter()
        .chain(in_headers)
        .all(|host| host.is_some_and(|host| is_known(host, names)))
}

fn is_known(host: &str, names: &[DomainName]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    // Exactly a name and perhaps a port: the parser takes `[::1]x` for an address.
    let port = authority.as_str().strip_prefix(name);
    let is_port = |text: &str| {
        text.strip_prefix(':')
            .is_some_and(|n| n.parse::<u16>().is_ok())
    };
    if !port.is_some_and(|port| port.is_empty() || is_port(port)) {
        return false;
    }
    let literal = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    if literal.unwrap_or(name).parse::<IpAddr>().is_ok() {
        return true;
    }
    DomainName::parse(name).is_ok_and(|name| name.as_str() == "localhost" || names.contains(&name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ours(target: &str, hosts: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        let names = [DomainName::parse("metrics.internal").expect("a name")];
        is_ours(&target.parse().expect("a target"), &headers, &names)
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_ours() {
        for good in [
            "127.0.0.1:9464",
            "127.0.0.1",
            "10.1.2.3:9464",
            "[::1]:9464",
            "[::1]",
            "localhost",
            "LocalHost:9464",
            "localhost.",
            "metrics.internal:9464",
            "METRICS.internal",
        ] {
            assert!(ours("/metrics", &[good]), "{good}");
        }
        assert!(ours("/metrics", &[]), "nobody who could be a browser");
        for bad in [
            "evil.test",
            "evil.test:9464",
            "acme.localhost:3000",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "x.metrics.internal",
            "localhost@evil.test",
            "evil.test@localhost",
            "[::1]evil.test",
            "[::1]evil.test:9464",
            "[::1]:port",
            "",
            "127.0.0.1, evil.test",
        ] {
            assert!(!ours("/metrics", &[bad]), "{bad}");
        }
        assert!(!ours("/metrics", &["localhost", "evil.test"]));
        assert!(!ours("http://evil.test/metrics", &["localhost"]));
        assert!(!ours("http://localhost/metrics", &["evil.test"]));
        assert!(ours("http://localhost/metrics", &["localhost"]));
    }
}
