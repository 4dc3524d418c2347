//! The one place where an error becomes a response: RFC 9457 `application/problem+json`, or a page
//! for a person in front of a browser.
//!
//! A handler returns a [`Problem`]; it travels as an extension of the response to [`render`], which
//! knows the request's id, logs the chain of causes once and writes the body. The text of a cause
//! never reaches the client: what a client reads is written here or by the code that checked its input.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tenantry_catalog::operators::Role;
use tenantry_types::{ErrorKind, FieldError, OperationId};
use utoipa::ToSchema;

use crate::context::{Audience, RequestId};
use crate::openapi::words;
use crate::pages::ProblemPage;
use crate::rights::Right;

mod conversions;
mod texts;

pub(crate) use texts::codes;

/// An error on its way to the client. Boxed, because every `Result` here has room for one.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Option<String>,
    errors: Vec<FieldError>,
    permission: Option<String>,
    roles: Vec<Role>,
    operation_id: Option<OperationId>,
    retry_after: Option<u64>,
    location: Option<HeaderValue>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of a kind, with its stable code. Text and status come from the table in `texts.rs`;
    /// the kind gives the status of a code that is not there.
    pub(crate) fn new(kind: ErrorKind, code: impl Into<Cow<'static, str>>) -> Self {
        Self::with_status(status_of(kind), code)
    }

    /// For the few statuses that no [`ErrorKind`] stands for (405, 413, 415).
    pub(crate) fn with_status(status: StatusCode, code: impl Into<Cow<'static, str>>) -> Self {
        let code = code.into();
        let status = texts::status(&code).unwrap_or(status);
        let hopeful = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        Self(Box::new(Parts {
            status,
            code,
            detail: None,
            errors: Vec::new(),
            permission: None,
            roles: Vec::new(),
            operation_id: None,
            retry_after: hopeful.then_some(1),
            location: None,
            cause: None,
        }))
    }

    /// 404 for a resource.
    pub(crate) fn not_found(code: &'static str) -> Self {
        Self::new(ErrorKind::NotFound, code)
    }

    /// 404: the host leads to no tenant. The same words for a host that never was one's and for a
    /// tenant that is not to be known of.
    pub(crate) fn no_tenant_here() -> Self {
        Self::not_found("TENANT_NOT_FOUND").detail(
            "No tenant is served at this host. (The setup API answers at a base domain only.)",
        )
    }

    /// 308: the tenant is served at another host now, where the same request is to go.
    pub(crate) fn moved(location: HeaderValue) -> Self {
        let mut problem = Self::not_found("TENANT_MOVED");
        problem.0.location = Some(location);
        problem
    }

    /// 401: nobody, or nobody we know.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(ErrorKind::Unauthenticated, "UNAUTHENTICATED")
    }

    /// 403: the token, the host and `x-tenant-id` do not name the same tenant.
    pub(crate) fn wrong_tenant() -> Self {
        Self::new(ErrorKind::Forbidden, "WRONG_TENANT")
    }

    /// 403: the principal lacks a permission, which is named.
    pub(crate) fn permission_denied(permission: impl Into<String>) -> Self {
        let mut problem = Self::new(ErrorKind::Forbidden, "PERMISSION_DENIED");
        problem.0.permission = Some(permission.into());
        problem
    }

    /// 401: the token was good once.
    pub(crate) fn token_expired() -> Self {
        Self::new(ErrorKind::Unauthenticated, "TOKEN_EXPIRED")
    }

    /// 403: the operator's role lacks the right; those that have it are named.
    pub(crate) fn role_required(right: Right, role: Role) -> Self {
        let roles: Vec<Role> = right.roles().collect();
        let named = roles.iter().map(|role| format!("`{role}`"));
        let named = named.collect::<Vec<_>>().join(", ");
        let mut problem = Self::new(ErrorKind::Forbidden, "ROLE_REQUIRED").detail(format!(
            "This needs the token of an operator with one of these roles: {named}. Yours is `{role}`."
        ));
        problem.0.roles = roles;
        problem
    }

    /// 422 with every field that is wrong.
    pub(crate) fn validation(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(ErrorKind::Invalid, "VALIDATION_FAILED");
        problem.0.errors = errors;
        problem
    }

    /// 422 for one field.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::validation(vec![FieldError::new(field, message)])
    }

    /// 500: a fault of ours, with what caused it for the log.
    pub(crate) fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::new(ErrorKind::Internal, "INTERNAL").caused_by(cause)
    }

    /// Replaces the text for the client. For what the code knows better than the table; never the
    /// text of a cause.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// What is wrong, point by point.
    pub(crate) fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    pub(crate) fn operation(mut self, id: OperationId) -> Self {
        self.0.operation_id = Some(id);
        self
    }

    /// Seconds after which trying again can help.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// What caused it, for the log only.
    pub(crate) fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    /// The status the client will see.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Whether it is a 5xx: nobody could say yes or no.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.0.status.is_server_error()
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    /// What happened and what would help, in words.
    pub(crate) fn text(&self) -> &str {
        let known = || texts::detail(&self.0.code, self.0.status);
        self.0.detail.as_deref().unwrap_or_else(known)
    }

    /// Seconds after which trying again can help, if it can.
    pub(crate) fn seconds(&self) -> Option<u64> {
        self.0.retry_after
    }

    fn json(&self, request_id: &RequestId) -> Response {
        let body = serde_json::to_vec(&self.body(request_id.as_str())).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        (self.0.status, [(CONTENT_TYPE, kind)], body).into_response()
    }

    fn page(&self, request_id: &RequestId) -> Response {
        let texts = (texts::title(&self.0.code), self.text());
        let what = (self.0.status, self.code());
        let page = ProblemPage::new(what, texts, &self.0.errors, request_id.as_str());
        page.respond().unwrap_or_else(|_| self.json(request_id))
    }

    fn body(&self, request_id: &str) -> Body {
        let parts = &*self.0;
        let errors = parts.errors.iter().cloned().map(|error| WrongField {
            field: error.field,
            message: error.message,
        });
        Body {
            kind: format!("urn:tenantry:error:{}", parts.code),
            title: texts::title(&parts.code),
            status: parts.status.as_u16(),
            detail: self.text().to_owned(),
            code: parts.code.to_string(),
            request_id: request_id.to_owned(),
            errors: errors.collect(),
            permission: parts.permission.clone(),
            roles: parts.roles.clone(),
            operation_id: parts.operation_id,
            retry_after: parts.retry_after,
        }
    }

    /// Logs what went wrong, once. `Display` of each cause only: `Debug` of a database error holds
    /// values of rows.
    fn log(&self) {
        let (status, code) = (self.0.status.as_u16(), self.0.code.as_ref());
        let cause = self.0.cause.as_deref().map(chain);
        let cause = cause.as_deref();
        match self.0.status {
            StatusCode::SERVICE_UNAVAILABLE => tracing::warn!(status, code, cause, "refused"),
            status if status.is_server_error() => {
                tracing::error!(status = status.as_u16(), code, cause, "failed")
            }
            _ => tracing::debug!(status, code, cause, "refused"),
        }
    }
}

/// What went wrong, for programs by `code` and for people by `detail` (RFC 9457).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct Body {
    /// The code as a URI.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    kind: String,
    /// The code in words.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 300, maximum = 599)]
    status: u16,
    /// What happened and what would help.
    detail: String,
    /// Which error this is; it never changes its meaning.
    code: String,
    /// Finds the request in our logs; also in `x-request-id`.
    request_id: String,
    /// Each field of the request that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<WrongField>,
    /// The permission that is lacking.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Permission, required = false)]
    permission: Option<String>,
    /// The roles of operators that may do it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<words::OperatorRole>, required = false)]
    roles: Vec<Role>,
    /// The operation that stands in the way, or that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::OperationId, required = false)]
    operation_id: Option<OperationId>,
    /// Seconds after which another try can help; also in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, nullable = false)]
    retry_after: Option<u64>,
}

/// One field of a request that is wrong.
#[derive(Serialize, ToSchema)]
struct WrongField {
    /// Its name in the request, e.g. `admin.email`; empty for the request as a whole.
    field: String,
    /// What is wrong with it and what would be right.
    message: String,
}

/// The status of a code; none for what is no code.
pub(crate) fn status(code: &str) -> Option<StatusCode> {
    texts::status(code)
}

/// A problem as it is answered, for documentation.
pub(crate) fn sample(code: &str) -> Value {
    let mut problem = Problem::new(ErrorKind::Internal, code.to_owned());
    match code {
        "VALIDATION_FAILED" => {
            problem.0.errors = vec![FieldError::new("email", "is required")];
        }
        "ROLE_REQUIRED" => problem = Problem::role_required(Right::Operate, Role::ReadOnly),
        "PERMISSION_DENIED" => problem.0.permission = Some("users:list".to_owned()),
        _ => {}
    }
    json!(problem.body("checkout-4711"))
}

/// Empty until [`render`] fills it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Turns the problem that a response carries into its body. A bare error status made by axum or
/// tower gets the problem that belongs to it. Other responses pass. Tells which problem it was.
///
/// A person in front of a browser gets a page of it, everybody else `application/problem+json`.
pub(crate) fn render(
    response: Response,
    request_id: &RequestId,
    audience: Audience,
) -> (Response, Option<Problem>) {
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None => match of_bare_status(parts.status) {
            Some(problem)
                if !parts.headers.contains_key(CONTENT_TYPE) || is_text(&parts.headers) =>
            {
                problem
            }
            _ => return (Response::from_parts(parts, body), None),
        },
    };
    problem.log();
    let mut rendered = match audience {
        Audience::Person => problem.page(request_id),
        Audience::Program => problem.json(request_id),
    };
    let headers = rendered.headers_mut();
    // What others set on the way out stays: Allow of a 405, Set-Cookie of an ended session.
    // What belongs to another status goes: axum adds Allow to all that its 405 handler answers.
    let allow_stays = problem.0.status == StatusCode::METHOD_NOT_ALLOWED;
    for (name, value) in &parts.headers {
        let stays = match *name {
            CONTENT_TYPE | CONTENT_LENGTH => false,
            ALLOW => allow_stays,
            _ => true,
        };
        if stays {
            headers.append(name, value.clone());
        }
    }
    if let Some(seconds) = problem.0.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(location) = &problem.0.location {
        headers.insert(LOCATION, location.clone());
    }
    if problem.0.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if problem.0.status == StatusCode::METHOD_NOT_ALLOWED && !headers.contains_key(ALLOW) {
        // RFC 9110, 15.5.6: a 405 always has the header, be it empty.
        headers.insert(ALLOW, HeaderValue::from_static(""));
    }
    (rendered, Some(problem))
}

fn of_bare_status(status: StatusCode) -> Option<Problem> {
    Some(match status {
        StatusCode::BAD_REQUEST => Problem::new(ErrorKind::Malformed, "BAD_REQUEST"),
        StatusCode::NOT_FOUND => Problem::not_found("NOT_FOUND"),
        StatusCode::METHOD_NOT_ALLOWED => Problem::with_status(status, "METHOD_NOT_ALLOWED"),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::with_status(status, "BODY_TOO_LARGE"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::with_status(status, "UNSUPPORTED_MEDIA_TYPE")
        }
        StatusCode::UNAUTHORIZED => Problem::unauthenticated(),
        status if status.is_client_error() => Problem::with_status(status, "BAD_REQUEST"),
        status if status.is_server_error() => Problem::new(ErrorKind::Internal, "INTERNAL"),
        _ => return None,
    })
}

fn is_text(headers: &http::HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"))
}

const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The error and all that caused it, in one line.
fn chain(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod pages;
#[cfg(test)]
mod tests;
