//! The body of a page's form: `application/x-www-form-urlencoded` of limited size, read into a type
//! as JSON is, and only from a page that may send it.

use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use tenantry_types::{ErrorKind, FieldError};

use crate::app::App;
use crate::context::{Senders, form_may_come};
use crate::fields::{self, FromFields};
use crate::json::{TIME, limit, receive};
use crate::problem::Problem;

/// What a form holds, and from where it may come.
pub(crate) trait FormFields: FromFields {
    /// Whose pages may send it.
    const SENDERS: Senders = Senders::Own;
}

/// A form that a page of ours sent.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: FormFields> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        require_form(request.headers())?;
        let (parts, body) = request.into_parts();
        if !form_may_come(&parts, T::SENDERS, &app.config) {
            return Err(foreign());
        }
        let request = Request::from_parts(parts, body);
        let bytes = receive(request, limit::<T>(app), TIME).await?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: FromFields>(bytes: &[u8]) -> Result<T, Problem> {
    let mut object = Map::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        let name = name.into_owned();
        let value = Value::String(value.into_owned());
        if object.insert(name.clone(), value).is_some() {
            let shown: String = name.chars().take(80).collect();
            return Err(Problem::validation(vec![FieldError::new(
                shown,
                "was sent twice",
            )]));
        }
    }
    fields::read(Value::Object(object)).map_err(Problem::validation)
}

fn require_form(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let form = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().is_ok_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        }),
        _ => false,
    };
    if form {
        return Ok(());
    }
    let problem =
        Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE");
    Err(problem.detail(
        "This is the address of a page's form: send application/x-www-form-urlencoded. Programs sign in at /auth/login.",
    ))
}

fn foreign() -> Problem {
    Problem::new(ErrorKind::Forbidden, "CROSS_SITE").detail(
        "This form was not sent by one of our own pages. Open the sign-in page yourself and try again.",
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::fields::Fields;

    #[derive(Debug)]
    struct Note(String);

    impl FromFields for Note {
        fn from_fields(fields: &mut Fields) -> Option<Self> {
            let text = fields.required("text", |text| Ok::<_, &str>(text.to_owned()));
            text.map(Self)
        }
    }

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let note = parse::<Note>(b"text=a%26b+%C3%A4%3D").expect("a form");
        assert_eq!(note.0, "a&b \u{e4}=");
        for wrong in [&b""[..], b"text=a&text=b", b"text=a&other=b", b"other"] {
            let problem = parse::<Note>(wrong).expect_err("it is wrong");
            assert_eq!(problem.code(), "VALIDATION_FAILED");
        }
    }

    #[test]
    fn only_a_form_is_one() {
        let check = |types: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            require_form(&headers).is_ok()
        };
        const FORM: &str = "application/x-www-form-urlencoded";
        assert!(check(&[FORM]));
        assert!(check(&["Application/X-WWW-Form-Urlencoded; charset=UTF-8"]));
        for bad in [
            "application/json",
            "text/plain",
            "multipart/form-data; boundary=x",
            "",
        ] {
            assert!(!check(&[bad]), "{bad}");
        }
        assert!(!check(&[]) && !check(&[FORM, FORM]));
    }
}
