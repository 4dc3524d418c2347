//! Signing in: the form, what it leads to, and the last step of coming from a base domain.

pub(crate) mod redeem;
pub(crate) mod show;
pub(crate) mod submit;

use askama::Template;
use axum::response::Response;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::page;
use crate::context::{Authority, Front};
use crate::problem::Problem;

/// The form, perhaps with why it is shown again.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    /// The tenant's name, at its host.
    tenant: Option<&'a str>,
    host: &'a str,
    /// What was typed before. The password never comes back.
    email: &'a str,
    refusal: Option<&'a Refusal>,
}

/// Why a person is not signed in, in their words.
struct Refusal {
    status: StatusCode,
    text: String,
    wrong: Wrong,
    retry_after: Option<u64>,
}

/// Which fields to look at again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Neither,
    Email,
    Password,
    /// One of them, and nobody is told which.
    Either,
}

impl Refusal {
    fn email() -> Self {
        Self::invalid(
            Wrong::Email,
            "Enter your e-mail address, like name@host.example.",
        )
    }

    fn no_password() -> Self {
        Self::invalid(Wrong::Password, "Enter your password.")
    }

    fn used_up() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            text: "That way in works once and for a short time. Sign in here.".to_owned(),
            wrong: Wrong::Neither,
            retry_after: None,
        }
    }

    fn invalid(wrong: Wrong, text: &str) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            text: text.to_owned(),
            wrong,
            retry_after: None,
        }
    }

    /// A problem that the person at the form can do something about; any other stays one.
    fn of(problem: Problem) -> Result<Self, Problem> {
        let (wrong, text) = match (problem.status(), problem.seconds()) {
            (StatusCode::UNAUTHORIZED, _) => (Wrong::Either, problem.text().to_owned()),
            (StatusCode::TOO_MANY_REQUESTS, Some(1)) => (
                Wrong::Neither,
                "Too many failed attempts. Try again in a second.".to_owned(),
            ),
            (StatusCode::TOO_MANY_REQUESTS, seconds) => {
                let seconds = seconds.unwrap_or(60);
                let text = format!("Too many failed attempts. Try again in {seconds} seconds.");
                (Wrong::Neither, text)
            }
            _ => return Err(problem),
        };
        Ok(Self {
            status: problem.status(),
            text,
            wrong,
            retry_after: problem.seconds(),
        })
    }
}

impl<'a> SignInPage<'a> {
    fn new(front: &'a Front, host: &'a Authority) -> Self {
        let tenant = match front {
            Front::Base(_) => None,
            Front::Tenant(visitor) => Some(visitor.route.name()),
        };
        Self {
            tenant,
            host: &host.0,
            email: "",
            refusal: None,
        }
    }

    fn respond(&self) -> Result<Response, Problem> {
        let status = self
            .refusal
            .map_or(StatusCode::OK, |refusal| refusal.status);
        let mut response = page(status, self, &["'self'"])?;
        let headers = response.headers_mut();
        if let Some(seconds) = self.refusal.and_then(|refusal| refusal.retry_after) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 15.5.2: a 401 always has one.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Ok(response)
    }

    fn email_state(&self) -> &'static str {
        match self.refusal.map(|refusal| refusal.wrong) {
            Some(Wrong::Email) => WRONG_AND_FOCUSED,
            Some(Wrong::Either) => WRONG,
            _ => "",
        }
    }

    fn password_state(&self) -> &'static str {
        match self.refusal.map(|refusal| refusal.wrong) {
            Some(Wrong::Password | Wrong::Either) => WRONG_AND_FOCUSED,
            _ => "",
        }
    }
}

/// Attributes of a field that is to be looked at again: a screen reader tells the reason with it.
const WRONG: &str = r#" aria-invalid="true" aria-describedby="refusal""#;
/// The one of them to go on with.
const WRONG_AND_FOCUSED: &str = r#" aria-invalid="true" aria-describedby="refusal" autofocus"#;
