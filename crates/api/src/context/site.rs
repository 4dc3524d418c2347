//! Which host a request asks, and what it leads to.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::uri::Uri;
use http::{HeaderMap, header::HOST};
use tenantry_router::HostName;
use tenantry_types::ErrorKind;

use crate::app::App;
use crate::problem::Problem;

/// What a request's host leads to.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// A base domain: the control plane.
    Base,
    /// A name that may be a tenant's.
    Tenant(HostName),
    /// A name that can be nobody's: an IP address, two labels below a base domain, …
    Nowhere,
}

impl From<HostName> for Site {
    fn from(host: HostName) -> Self {
        match host {
            HostName::Base => Self::Base,
            HostName::Unknown => Self::Nowhere,
            tenant => Self::Tenant(tenant),
        }
    }
}

/// The host and port as the request names them, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority(pub(crate) String);

/// Noted by `dispatch`, before any handler runs.
impl FromRequestParts<App> for Authority {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let noted = parts.extensions.get::<Self>().cloned();
        noted.map_or_else(|| authority(&parts.uri, &parts.headers), Ok)
    }
}

/// Reads whom a request asks by itself; what a proxy says of it is read in [`super::forwarded`].
///
/// A request target in absolute form wins over the `Host` header (RFC 9112, 3.2.2); a client that
/// sends two different ones is refused, because a proxy in front may have looked at the other.
///
/// # Errors
/// `BAD_HOST` when there is none, more than one, or one that is no text.
pub(crate) fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let bad = || Problem::new(ErrorKind::Malformed, "BAD_HOST");
    let mut hosts = headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (Some(value), None) => Some(value.to_str().map_err(|_| bad())?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(bad()),
    };
    let named = match (uri.authority(), header) {
        (Some(target), Some(header)) if !target.as_str().eq_ignore_ascii_case(header) => {
            return Err(bad());
        }
        (Some(target), _) => target.as_str(),
        (None, Some(header)) => header,
        (None, None) => return Err(bad()),
    };
    Ok(Authority(named.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(target: &str, hosts: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        headers.append("x-forwarded-host", HeaderValue::from_static("evil.test"));
        let uri = target.parse().expect("a target");
        authority(&uri, &headers).ok().map(|authority| authority.0)
    }

    #[test]
    fn one_host_is_read_from_the_target_or_the_header() {
        assert_eq!(
            read("/me", &["Acme.localhost:3000"]).as_deref(),
            Some("acme.localhost:3000")
        );
        assert_eq!(
            read("http://acme.localhost/me", &[]).as_deref(),
            Some("acme.localhost")
        );
        assert_eq!(
            read("http://acme.localhost/me", &["ACME.localhost"]).as_deref(),
            Some("acme.localhost")
        );
    }

    #[test]
    fn none_two_and_contradicting_hosts_are_refused() {
        assert_eq!(read("/me", &[]), None);
        assert_eq!(read("/me", &["acme.localhost", "acme.localhost"]), None);
        assert_eq!(read("/me", &["acme.localhost", "beta.localhost"]), None);
        assert_eq!(read("http://acme.localhost/me", &["beta.localhost"]), None);
        assert_eq!(
            read("http://acme.localhost/me", &["acme.localhost:3000"]),
            None
        );
    }
}
