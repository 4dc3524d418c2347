//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

use axum::extract::FromRequestParts;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;
use sha2::Sha256;
use tenantry_types::Secret;

use crate::app::App;
use crate::problem::Problem;

/// The key of a request that may be sent again: 1 to 255 visible ASCII characters.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        key_of(&parts.headers).map(Self)
    }
}

/// What stands for a request beside its key.
///
/// Keyed with the operator's token, because a request may hold a password: whoever reads the catalog
/// must not be able to try passwords against the hash. A key belongs to one operator, and so to one
/// token.
pub(crate) fn request_hash(token: &Secret, request: &Value) -> [u8; 32] {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes a key of any length (RFC 2104, 2)"
    )]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(token.expose().as_bytes()).expect("a key of any length");
    let mut text = String::new();
    write_canonical(request, &mut text);
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    const NAME: &str = "Idempotency-Key";
    let mut values = headers.get_all(NAME).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(Problem::field(NAME, "must be sent once")),
    };
    let sane = (1..=255).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(value) {
        Ok(key) if sane => Ok(Some(key.to_owned())),
        _ => Err(Problem::field(
            NAME,
            "must be 1 to 255 visible ASCII characters",
        )),
    }
}

/// JSON with sorted keys. `serde_json`'s own order depends on a feature that any crate can turn on.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in fields {
                write_canonical(&Value::String(name.clone()), out);
                out.push(':');
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::super::request::Request;
    use super::*;
    use crate::fields::read;

    fn hash(text: &str) -> [u8; 32] {
        let request: Request = read(serde_json::from_str(text).expect("JSON")).expect("right");
        request_hash(&Secret::new("token"), &request.canonical())
    }

    #[test]
    fn the_same_request_has_the_same_hash_however_it_is_written() {
        let one = hash(r#"{"name":"Acme","slug":"acme","metadata":{"a":1,"b":{"x":1,"y":2}}}"#);
        for same in [
            r#"{ "slug": "acme", "metadata": {"b":{"y":2,"x":1},"a":1}, "name": "Acme" }"#,
            r#"{"name":" Acme ","slug":"acme","plan":"free","metadata":{"a":1,"b":{"x":1,"y":2}}}"#,
        ] {
            assert_eq!(hash(same), one, "{same}");
        }
    }

    #[test]
    fn another_request_has_another_hash() {
        let bodies = [
            r#"{"name":"Acme","slug":"acme"}"#,
            r#"{"name":"Acme","slug":"acme2"}"#,
            r#"{"name":"Acme","slug":"acme","plan":"pro"}"#,
            r#"{"name":"Acme","slug":"acme","cluster":"eu"}"#,
            r#"{"name":"Acme","slug":"acme","primaryDomain":"a.b"}"#,
            r#"{"name":"Acme","slug":"acme","metadata":{"a":1}}"#,
            r#"{"name":"Acme","slug":"acme","metadata":{"a":"1"}}"#,
            r#"{"name":"Acme","slug":"acme","metadata":{"a":[1,2]}}"#,
            r#"{"name":"Acme","slug":"acme","metadata":{"a":[12]}}"#,
            r#"{"name":"Acme","slug":"acme","admin":{"email":"a@b.c"}}"#,
            r#"{"name":"Acme","slug":"acme","admin":{"email":"a@b.c","password":"correct horse"}}"#,
            r#"{"name":"Acme","slug":"acme","admin":{"email":"a@b.c","password":"correct horses"}}"#,
        ];
        let hashes: std::collections::HashSet<_> = bodies.iter().map(|body| hash(body)).collect();
        assert_eq!(hashes.len(), bodies.len());
    }

    #[test]
    fn without_the_token_a_password_cannot_be_tried_against_the_hash() {
        let request = json!({ "password": "guessable" });
        let of = |token: &str| request_hash(&Secret::new(token), &request);
        assert_ne!(of("one"), of("two"));
    }

    #[test]
    fn a_key_is_visible_ascii_and_sent_once() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(
                    "idempotency-key",
                    HeaderValue::from_bytes(value).expect("a header"),
                );
            }
            key_of(&headers).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"abc-123"]), Ok(Some("abc-123".into())));
        for bad in [&b""[..], b"a b", b"\xc3\xa4", &[b'a'; 256]] {
            assert_eq!(of(&[bad]), Err(422));
        }
        assert_eq!(of(&[b"a", b"a"]), Err(422));
    }
}
