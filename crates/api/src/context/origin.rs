//! From which page a request comes, as the browser says: what stands between a signed-in person and
//! a page of somebody else's.
//!
//! Scripts cannot write `Origin` and `Sec-Fetch-Site`. The second is the browser's own judgement, but
//! it is sent over TLS and to `localhost` only, and to older servers not at all.

use http::HeaderValue;
use http::header::ORIGIN;
use http::request::Parts;

use super::site::Authority;
use crate::config::ApiConfig;

/// Whose pages may send a form here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Senders {
    /// Those of this very host.
    Own,
    /// Those of this host and of the base domains, where people sign in first.
    OwnOrBase,
}

/// Whether the browser says that the page which sent this is of the same origin. A request that
/// says nothing is not: browsers send `Origin` with every unsafe method.
pub(super) fn is_same_origin(parts: &Parts, scheme: &str) -> bool {
    match site(parts) {
        // `none` is the person themselves: an address typed in, a bookmark.
        Some(site) => site == "same-origin" || site == "none",
        None => origin(parts).is_some_and(|origin| is_own(&origin, parts, scheme)),
    }
}

/// Whether a form was sent by a page that may send it. Stricter than what a cookie needs: this
/// holds for forms that begin a session, too, so that nobody is signed in to a stranger's account
/// without knowing; and whoever sends a form is a page, which has an origin.
pub(crate) fn form_may_come(parts: &Parts, from: Senders, config: &ApiConfig) -> bool {
    let Some(origin) = origin(parts) else {
        return false;
    };
    let site = site(parts);
    if is_own(&origin, parts, &config.public_scheme) {
        return site.is_none_or(|site| site == "same-origin");
    }
    // Other subdomains are "same-site" as well and belong to other customers: only the origin tells.
    from == Senders::OwnOrBase
        && config.base_origins().any(|base| base == origin)
        && site.is_none_or(|site| site == "same-site" || site == "cross-site")
}

fn site(parts: &Parts) -> Option<&HeaderValue> {
    parts.headers.get("sec-fetch-site")
}

/// The one `Origin` of a request, in lower case.
fn origin(parts: &Parts) -> Option<String> {
    let mut origins = parts.headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) => Some(origin.to_str().ok()?.to_ascii_lowercase()),
        _ => None,
    }
}

fn is_own(origin: &str, parts: &Parts, scheme: &str) -> bool {
    let Some(Authority(host)) = parts.extensions.get() else {
        return false;
    };
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_owned();
    origin
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"))
        .is_some_and(|origin_host| bare(origin_host) == bare(host))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use tenantry_types::DomainName;

    use super::*;

    fn may_come(from: Senders, headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = Request::post("/").extension(Authority("acme.example.com".into()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        let config = ApiConfig {
            base_domains: ["example.com", "example.org"]
                .map(|base| DomainName::parse(base).expect("a name"))
                .into(),
            ..ApiConfig::default()
        };
        form_may_come(&parts, from, &config)
    }

    const OWN: (&str, &str) = ("origin", "https://acme.example.com");
    const BASE: (&str, &str) = ("origin", "https://example.com");

    #[test]
    fn a_form_comes_from_an_own_page() {
        for from in [Senders::Own, Senders::OwnOrBase] {
            assert!(may_come(from, &[OWN]));
            assert!(may_come(from, &[OWN, ("sec-fetch-site", "same-origin")]));
            assert!(may_come(
                from,
                &[("origin", "https://acme.example.com:443")]
            ));
            for site in ["same-site", "cross-site", "none", ""] {
                assert!(!may_come(from, &[OWN, ("sec-fetch-site", site)]), "{site}");
            }
            for origin in [
                "null",
                "",
                "http://acme.example.com",
                "https://globex.example.com",
                "https://acme.example.com.evil.test",
                "https://acme.example.com:8443",
                "https://evil.test",
            ] {
                assert!(!may_come(from, &[("origin", origin)]), "{origin}");
            }
            assert!(!may_come(from, &[]), "no origin");
            assert!(!may_come(from, &[("sec-fetch-site", "same-origin")]));
            assert!(!may_come(from, &[OWN, OWN]), "two origins");
        }
    }

    #[test]
    fn one_form_comes_from_a_base_domain_as_well() {
        assert!(!may_come(Senders::Own, &[BASE]));
        assert!(!may_come(
            Senders::Own,
            &[BASE, ("sec-fetch-site", "same-site")]
        ));
        let may_come = |headers: &[_]| may_come(Senders::OwnOrBase, headers);
        assert!(may_come(&[BASE]));
        assert!(may_come(&[BASE, ("sec-fetch-site", "same-site")]));
        // A tenant's own domain is another site.
        assert!(may_come(&[BASE, ("sec-fetch-site", "cross-site")]));
        assert!(may_come(&[("origin", "https://example.org")]));
        assert!(!may_come(&[BASE, ("sec-fetch-site", "none")]));
        for origin in [
            "http://example.com",
            "https://example.com:8443",
            "https://com",
        ] {
            assert!(!may_come(&[("origin", origin)]), "{origin}");
        }
    }
}
