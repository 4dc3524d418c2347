//! What a request shows to say who sends it: a Bearer token, or the cookies of a browser.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use tenantry_types::{ErrorKind, Secret};

use super::origin::is_same_origin;
use crate::app::App;
use crate::config::ApiConfig;
use crate::cookies::{self, Kind};
use crate::problem::Problem;

/// The Bearer token of a request (RFC 6750, 2.1).
///
/// # Errors
/// 401 when there is an `Authorization` that is not exactly one Bearer token.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<Secret>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(Problem::unauthenticated()),
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    token
        .map(|token| Some(Secret::new(token)))
        .ok_or_else(Problem::unauthenticated)
}

/// The access token of a request: a Bearer token, else the browser's cookie, which counts only from
/// our own pages.
///
/// # Errors
/// 401 for a broken `Authorization`; 403 `CROSS_SITE` for a cookie that another site made the
/// browser send.
pub(super) fn access_token(parts: &Parts, config: &ApiConfig) -> Result<Option<Secret>, Problem> {
    if let Some(token) = bearer(&parts.headers)? {
        return Ok(Some(token));
    }
    cookie(parts, Kind::Access, config)
}

/// Whether there is an access token at all.
///
/// # Errors
/// As [`access_token`].
pub(crate) fn is_signed_in(parts: &Parts, app: &App) -> Result<bool, Problem> {
    Ok(access_token(parts, &app.config)?.is_some())
}

/// The access token, or why what was sent is none, for a handler that can do without.
pub(crate) struct AccessToken(pub(crate) Result<Option<Secret>, Problem>);

impl FromRequestParts<App> for AccessToken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self(access_token(parts, &app.config)))
    }
}

/// The refresh token that the browser keeps: none, or the token, or 403 `CROSS_SITE` when another
/// site made the browser send it. An error only where the cookie is used, hence kept as a result.
pub(crate) struct RefreshCookie(pub(crate) Option<Result<Secret, Problem>>);

impl FromRequestParts<App> for RefreshCookie {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self(cookie(parts, Kind::Refresh, &app.config).transpose()))
    }
}

fn cookie(parts: &Parts, kind: Kind, config: &ApiConfig) -> Result<Option<Secret>, Problem> {
    let Some(token) = cookies::read(&parts.headers, kind, config) else {
        return Ok(None);
    };
    if parts.method.is_safe() || is_same_origin(parts, &config.public_scheme) {
        Ok(Some(token))
    } else {
        Err(Problem::new(ErrorKind::Forbidden, "CROSS_SITE"))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::context::site::Authority;

    fn parts(method: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder()
            .method(method)
            .extension(Authority("acme.localhost:3000".into()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn dev() -> ApiConfig {
        ApiConfig {
            secure_cookies: false,
            public_scheme: "http".into(),
            ..ApiConfig::default()
        }
    }

    fn token(parts: &Parts) -> Result<Option<String>, &'static str> {
        let token = access_token(parts, &dev());
        token
            .map(|token| token.map(|token| token.expose().to_owned()))
            .map_err(|problem| {
                if problem.status() == 401 {
                    "401"
                } else {
                    "403"
                }
            })
    }

    const COOKIE: (&str, &str) = ("cookie", "tenantry_access=tok");

    #[test]
    fn a_bearer_token_is_read_strictly() {
        let bearer = |value| token(&parts("GET", &[("authorization", value)]));
        assert_eq!(bearer("Bearer abc"), Ok(Some("abc".into())));
        assert_eq!(bearer("bearer abc"), Ok(Some("abc".into())));
        for bad in ["abc", "Bearer", "Bearer ", "Basic abc", "Bearerabc", ""] {
            assert_eq!(bearer(bad), Err("401"), "{bad}");
        }
        let two = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(token(&parts("GET", &two)), Err("401"));
        assert_eq!(token(&parts("GET", &[])), Ok(None));
    }

    #[test]
    fn a_broken_authorization_does_not_fall_back_to_the_cookie() {
        assert_eq!(
            token(&parts("GET", &[("authorization", "Basic x"), COOKIE])),
            Err("401")
        );
    }

    #[test]
    fn a_cookie_counts_for_unsafe_methods_from_our_own_pages_only() {
        let ok = Ok(Some("tok".to_owned()));
        assert_eq!(token(&parts("GET", &[COOKIE])), ok);
        assert_eq!(
            token(&parts("GET", &[COOKIE, ("sec-fetch-site", "cross-site")])),
            ok
        );
        for (name, value) in [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("origin", "http://acme.localhost:3000"),
            ("origin", "http://ACME.localhost:3000"),
        ] {
            assert_eq!(
                token(&parts("POST", &[COOKIE, (name, value)])),
                ok,
                "{name}: {value}"
            );
        }
        for (name, value) in [
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://beta.localhost:3000"),
            ("origin", "https://acme.localhost:3000"),
            ("origin", "http://acme.localhost"),
            ("origin", "http://acme.localhost:3000.evil.test"),
            ("origin", "null"),
            ("x-nothing", "said"),
        ] {
            assert_eq!(
                token(&parts("POST", &[COOKIE, (name, value)])),
                Err("403"),
                "{name}: {value}"
            );
        }
        let both = [
            COOKIE,
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://acme.localhost:3000"),
        ];
        assert_eq!(token(&parts("DELETE", &both)), Err("403"));
    }
}
