//! The body of a request: JSON of limited size, read into a type that names all its wrong fields.
//!
//! As the last argument of a handler it runs after the guard, so nobody unknown makes us read a body,
//! and before the handler takes a connection, so a slow upload holds none. It holds no slot either,
//! and has a time of its own: at a sign-in, anyone may send a body.

use std::time::Duration;

use axum::body::{Body as RawBody, HttpBody};
use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tenantry_types::ErrorKind;

use crate::app::App;
use crate::fields::{self, FromFields};
use crate::problem::Problem;
use crate::slot::Slot;

/// How long a body may take to come.
pub(crate) const TIME: Duration = Duration::from_secs(10);

/// A JSON body that must be there.
pub(crate) struct Body<T>(pub(crate) T);

/// A JSON body that may be left out entirely.
pub(crate) struct OptionalBody<T>(pub(crate) Option<T>);

impl<T: FromFields> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = receive(request, limit::<T>(app), TIME).await?;
        parse(&bytes).map(Self)
    }
}

impl<T: FromFields> FromRequest<App> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        let headers = request.headers().clone();
        let bytes = receive(request, limit::<T>(app), TIME).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        require_json(&headers)?;
        parse(&bytes).map(|body| Self(Some(body)))
    }
}

pub(crate) fn limit<T: FromFields>(app: &App) -> usize {
    app.config.body_limit.min(T::LARGEST)
}

fn parse<T: FromFields>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Err(
            Problem::new(ErrorKind::Malformed, "MALFORMED_JSON").detail("The body is empty.")
        );
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        // Only the place: serde's own words may repeat the input, which may hold a password.
        Problem::new(ErrorKind::Malformed, "MALFORMED_JSON").detail(format!(
            "The body is not valid JSON (line {}, column {}).",
            error.line(),
            error.column()
        ))
    })?;
    fields::read(value).map_err(Problem::validation)
}

/// `application/json` or `application/*+json`, with any parameters.
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let json = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().is_ok_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            let essence = essence.to_ascii_lowercase();
            essence == "application/json"
                || (essence.starts_with("application/") && essence.ends_with("+json"))
        }),
        _ => false,
    };
    if json {
        Ok(())
    } else {
        Err(Problem::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
        ))
    }
}

/// The body, if it comes in time. Meanwhile others may have the request's slot.
pub(crate) async fn receive(
    request: Request,
    limit: usize,
    time: Duration,
) -> Result<axum::body::Bytes, Problem> {
    let slot = request.extensions().get::<Slot>().cloned();
    let reading = tokio::time::timeout(time, read_limited(request, limit));
    let read = match slot {
        Some(slot) => slot.lend(reading).await?,
        None => reading.await,
    };
    read.unwrap_or_else(|_| {
        Err(Problem::with_status(
            StatusCode::REQUEST_TIMEOUT,
            "BODY_TIMEOUT",
        ))
    })
}

/// Reads the body up to the limit, which the announced length and a chunked body both meet.
async fn read_limited(request: Request, limit: usize) -> Result<axum::body::Bytes, Problem> {
    let too_large = || {
        Problem::with_status(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE")
            .detail(format!("The body may have at most {limit} bytes."))
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        drain(request.into_body()).await;
        return Err(too_large());
    }
    let mut body = request.into_body();
    // Grows with what comes: what was only announced takes no memory.
    let mut bytes = Vec::new();
    loop {
        let frame =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
        match frame.await {
            None => return Ok(bytes.into()),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                if bytes.len() + data.len() > limit {
                    drain(body).await;
                    return Err(too_large());
                }
                bytes.extend_from_slice(&data);
            }
            Some(Err(error)) => {
                return Err(Problem::new(ErrorKind::Malformed, "BAD_REQUEST")
                    .detail("The body ended before it was complete.")
                    .caused_by(error));
            }
        }
    }
}

/// Takes a little of what still comes, so that the client reads our answer and not a reset
/// connection (the close would discard it: RFC 9112, 9.6).
async fn drain(mut body: RawBody) {
    let some = async {
        let mut taken = 0;
        while taken < 4 << 20 {
            let frame =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
            match frame.await {
                Some(Ok(frame)) => taken += frame.data_ref().map_or(0, |data| data.len()),
                _ => return,
            }
        }
    };
    // In vain after a second: then it is an upload, not a mistake.
    let _ = tokio::time::timeout(Duration::from_secs(1), some).await;
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http::HeaderValue;
    use http_body::Frame;

    use super::*;
    use crate::slot::Slots;

    #[test]
    fn json_goes_by_these_names() {
        let check = |types: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            require_json(&headers).is_ok()
        };
        assert!(check(&["application/json"]));
        assert!(check(&["Application/JSON; charset=utf-8"]));
        assert!(check(&["application/merge-patch+json"]));
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "",
        ] {
            assert!(!check(&[bad]), "{bad}");
        }
        assert!(!check(&[]));
        assert!(!check(&["application/json", "text/plain"]));
    }

    /// A body that was announced and never comes.
    struct Never;
    impl HttpBody for Never {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn who_sends_no_body_keeps_no_slot_and_is_given_up() {
        let slots = Slots::new(1);
        let mut request = Request::new(RawBody::new(Never));
        request
            .extensions_mut()
            .insert(slots.take().expect("a slot"));
        let reading = tokio::spawn(receive(request, 1024, Duration::from_millis(200)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(slots.take().expect("the slot of who is waited for"));
        let problem = reading.await.expect("no panic").expect_err("no body came");
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (408, "BODY_TIMEOUT")
        );
    }

    #[test]
    fn broken_json_is_told_by_its_place_only() {
        struct Any;
        impl FromFields for Any {
            fn from_fields(_: &mut fields::Fields) -> Option<Self> {
                Some(Self)
            }
        }
        for broken in [
            "{\"password\": \"hunter2\" oops}",
            "",
            "{",
            "\u{feff}{}",
            "[[",
            "nul",
        ] {
            let problem = parse::<Any>(broken.as_bytes()).err().expect("broken");
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (400, "MALFORMED_JSON")
            );
            assert!(!format!("{problem:?}").contains("hunter2"));
        }
        let deep = "[".repeat(100_000);
        assert_eq!(
            parse::<Any>(deep.as_bytes()).err().expect("deep").code(),
            "MALFORMED_JSON"
        );
    }
}
