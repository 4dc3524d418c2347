//! `Idempotency-Key` on every POST of the setup API: for 24 hours the same key with the same request gets
//! the same answer (draft-ietf-httpapi-idempotency-key-header).
//!
//! Creations of tenants have this by their operation. Here the answer itself is kept, sealed, because it may
//! tell a token. Only what was done is kept: what was refused may be sent again with the same key.

use axum::RequestPartsExt;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_lifecycle::{Idempotency, Repeated};
use tenantry_types::{ErrorKind, Secret};

use crate::app::App;
use crate::context::Caller;
use crate::json;
use crate::problem::Problem;
use crate::rights::Right;
use crate::setup::tenants::{IdempotencyKey, request_hash};

/// The headers of an answer that are kept with it.
const KEPT: [HeaderName; 2] = [CONTENT_TYPE, LOCATION];
/// The largest answer that is kept; none of the setup API's is near it.
const LARGEST: usize = 1 << 20;

/// An answer as it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Whether a route's repetitions are answered here.
pub(crate) fn applies_to(method: &Method, path: &str) -> bool {
    // Their keys lead to their operations, which go on after a crash and tell a password.
    let own = [
        "/setup/tenants",
        "/setup/adoptions",
        "/setup/tenants/{tenant}/credentials",
    ];
    method == Method::POST && path.starts_with("/setup/") && !own.contains(&path)
}

/// The layer around such a route.
pub(crate) async fn once(
    State((app, right)): State<(App, Right)>,
    request: Request,
    next: Next,
) -> Response {
    answer(&app, right, request, next)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    app: &App,
    right: Right,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let IdempotencyKey(key) = parts.extract_with_state(app).await?;
    let Some(key) = key else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    // What was answered is told again to nobody who may not ask for it any more.
    let operator = Caller::of(&mut parts, app, right).await?;
    let reading = Request::from_parts(parts.clone(), body);
    let bytes = json::receive(reading, app.config.body_limit, json::TIME).await?;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let idempotency = Idempotency {
        operator: operator.id,
        request_hash: request_hash(&operator.token, &stands_for(path, &bytes)),
        key,
    };
    // After that the request cannot be on its way any more.
    let dead_after = app.config.request_timeout * 2;
    let attempt = match app.lifecycle.repeated(&idempotency, dead_after).await? {
        Repeated::No(attempt) => attempt,
        Repeated::Answered(text) => {
            told_again(app, &operator, parts.uri.path()).await?;
            return replay(&text);
        }
        Repeated::Running => {
            return Err(Problem::new(ErrorKind::Conflict, "IDEMPOTENCY_KEY_IN_USE"));
        }
    };

    let response = next
        .run(Request::from_parts(parts, Body::from(bytes)))
        .await;
    // A client that hangs up drops this future: the key is free when the request counts as dead.
    if !response.status().is_success() {
        app.lifecycle
            .forget_repetition(&idempotency, attempt)
            .await?;
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, LARGEST)
        .await
        .map_err(|error| Problem::new(ErrorKind::Internal, "INTERNAL").caused_by(error))?;
    let kept = Kept {
        status: head.status.as_u16(),
        headers: KEPT
            .iter()
            .filter_map(|name| {
                let value = head.headers.get(name)?.to_str().ok()?;
                Some((name.as_str().to_owned(), value.to_owned()))
            })
            .collect(),
        body: STANDARD.encode(&bytes),
    };
    let text = Secret::new(serde_json::to_string(&kept).unwrap_or_default());
    // It is done, and its answer may hold what is told once: it is given although it was not kept.
    if let Err(error) = app
        .lifecycle
        .keep_answer(&idempotency, attempt, &text)
        .await
    {
        tracing::warn!(%error, "an answer could not be kept for its repetition");
    }
    Ok(Response::from_parts(head, Body::from(bytes)))
}

/// What is asked: where, and the body as JSON where it is JSON, so that its spelling does not matter.
fn stands_for(path: &str, body: &[u8]) -> Value {
    let body = serde_json::from_slice(body).unwrap_or_else(|_| json!(STANDARD.encode(body)));
    json!({ "path": path, "body": body })
}

/// The answer may hold what is told once: that it was told again is in the trail, or it is not told.
async fn told_again(app: &App, caller: &Caller, path: &str) -> Result<(), Problem> {
    let mut conn = app.catalog().await?;
    let path: String = path.chars().take(300).collect();
    let (asker, action) = (caller.asker(), "request.answer_again");
    app.lifecycle
        .audit(
            &mut conn,
            &asker,
            action,
            None,
            None,
            json!({ "path": path }),
        )
        .await?;
    Ok(())
}

fn replay(text: &Secret) -> Result<Response, Problem> {
    let broken = || Problem::new(ErrorKind::Internal, "INTERNAL");
    let kept: Kept = serde_json::from_str(text.expose()).map_err(|_| broken())?;
    let body = STANDARD.decode(&kept.body).map_err(|_| broken())?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(kept.status).map_err(|_| broken())?;
    for (name, value) in &kept.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| broken())?;
        let value = HeaderValue::from_str(value).map_err(|_| broken())?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_posts_of_the_setup_api_but_those_whose_operations_know_their_keys() {
        let of = |method: Method, path: &str| applies_to(&method, path);
        assert!(of(Method::POST, "/setup/operators"));
        assert!(of(Method::POST, "/setup/tenants/{tenant}/undelete"));
        assert!(!of(Method::POST, "/setup/tenants"));
        assert!(!of(Method::POST, "/setup/adoptions"));
        assert!(!of(Method::POST, "/setup/tenants/{tenant}/credentials"));
        assert!(!of(Method::DELETE, "/setup/tenants/{tenant}"));
        assert!(!of(Method::POST, "/auth/login"));
    }

    #[test]
    fn the_spelling_of_a_body_does_not_matter_and_its_path_does() {
        let of = |path: &str, body: &str| stands_for(path, body.as_bytes());
        assert_eq!(
            of("/a", r#"{"a":1,"b":2}"#),
            of("/a", r#"{ "b": 2, "a": 1 }"#)
        );
        assert_ne!(of("/a", "{}"), of("/b", "{}"));
        assert_ne!(of("/a", "{}"), of("/a", ""));
    }
}
