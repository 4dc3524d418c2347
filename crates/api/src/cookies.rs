//! The cookies of a signed-in browser: host-only, out of reach of scripts, not sent across sites.

use axum_extra::extract::CookieJar;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use tenantry_types::Secret;

use crate::config::ApiConfig;

/// What a cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Refresh,
}

impl Kind {
    /// The `__Host-` prefix makes browsers refuse the cookie from anyone but this very host over
    /// TLS (RFC 6265bis, 4.1.3.2), so a page at another subdomain cannot plant one.
    const fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Access, true) => "__Host-tenantry_access",
            (Self::Refresh, true) => "__Host-tenantry_refresh",
            (Self::Access, false) => "tenantry_access",
            (Self::Refresh, false) => "tenantry_refresh",
        }
    }
}

/// Reads a cookie.
pub(crate) fn read(headers: &HeaderMap, kind: Kind, config: &ApiConfig) -> Option<Secret> {
    let jar = CookieJar::from_headers(headers);
    let value = jar.get(kind.name(config.secure_cookies))?.value();
    (!value.is_empty()).then(|| Secret::new(value))
}

/// Sets both cookies. The access cookie goes when its token ends, the refresh cookie with the
/// session, which has `session_left` seconds.
pub(crate) fn set(
    headers: &mut HeaderMap,
    (access, refresh): (&Secret, &Secret),
    session_left: u64,
    config: &ApiConfig,
) {
    let access_left = config.access_token_ttl.as_secs();
    append(headers, Kind::Access, access.expose(), access_left, config);
    append(
        headers,
        Kind::Refresh,
        refresh.expose(),
        session_left,
        config,
    );
}

/// Removes both cookies.
pub(crate) fn clear(headers: &mut HeaderMap, config: &ApiConfig) {
    append(headers, Kind::Access, "", 0, config);
    append(headers, Kind::Refresh, "", 0, config);
}

/// No `Domain`, so that the cookie stays with this host and never reaches another tenant's.
///
/// `Lax`, not `Strict`: a sign-in that began at a base domain is a navigation from there, across
/// sites where the tenant has a domain of its own, and its redirection to the first page would be
/// asked for without `Strict` cookies. `Lax` ones go along with navigations that only read; what
/// changes something is refused unless the browser says that it comes from our own page, see
/// `context/origin.rs`.
fn append(headers: &mut HeaderMap, kind: Kind, value: &str, max_age: u64, config: &ApiConfig) {
    let secure = config.secure_cookies;
    let text = format!(
        "{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{}",
        kind.name(secure),
        if secure { "; Secure" } else { "" }
    );
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        headers.append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_host_only_and_out_of_reach() {
        let config = ApiConfig::default();
        let mut headers = HeaderMap::new();
        let tokens = (&Secret::new("a.b-c_d"), &Secret::new("r"));
        set(&mut headers, tokens, 2_592_000, &config);
        let all: Vec<_> = headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|v| v.to_str().expect("text"))
            .collect();
        assert_eq!(
            all,
            [
                "__Host-tenantry_access=a.b-c_d; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure",
                "__Host-tenantry_refresh=r; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure",
            ]
        );
    }

    #[test]
    fn a_cookie_is_read_by_the_name_that_was_set() {
        let plain = ApiConfig {
            secure_cookies: false,
            ..ApiConfig::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            "cookie",
            HeaderValue::from_static("x=1; tenantry_access=tok; tenantry_refresh="),
        );
        let access = read(&headers, Kind::Access, &plain).expect("a cookie");
        assert_eq!(access.expose(), "tok");
        assert!(read(&headers, Kind::Refresh, &plain).is_none());
        assert!(read(&headers, Kind::Access, &ApiConfig::default()).is_none());
    }
}
