//! The id of a request: taken from the client where it is a sane one, else made.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tenantry_types::Entropy;

use crate::app::App;
use crate::problem::Problem;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// 1 to 64 of letters, digits, `.`, `_` and `-`: safe in a log line and in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let sane = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        sane.then(|| Self(text.to_owned()))
    }

    /// The client's, if it sent one and it is sane; else a new one.
    pub(crate) fn of(headers: &HeaderMap, entropy: &Entropy) -> Self {
        headers
            .get(HEADER)
            .and_then(|value| Self::parse(value.to_str().ok()?))
            .unwrap_or_else(|| {
                let id = uuid::Builder::from_random_bytes(entropy.bytes::<16>()).into_uuid();
                Self(id.simple().to_string())
            })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl FromRequestParts<App> for RequestId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or_else(|| Self::of(&parts.headers, &app.entropy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_another_is_replaced() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_static(text));
            RequestId::of(&headers, &Entropy::system()).0
        };
        assert_eq!(of("abc-1_2.Z"), "abc-1_2.Z");
        for bad in ["", "a b", "a\tb", "<script>", "x/../y"] {
            assert_ne!(of(bad), bad);
            assert_eq!(of(bad).len(), 32);
        }
        assert!(RequestId::parse(&"a".repeat(65)).is_none());
    }
}
