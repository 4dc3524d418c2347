//! An error as a page.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use tenantry_types::FieldError;

use super::page;
use crate::problem::Problem;

/// What `application/problem+json` says, for a person.
#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct ProblemPage<'a> {
    pub(crate) title: String,
    pub(crate) detail: &'a str,
    pub(crate) errors: &'a [FieldError],
    pub(crate) status: StatusCode,
    pub(crate) code: &'a str,
    pub(crate) request_id: &'a str,
    /// Whether signing in would help.
    sign_in: bool,
}

impl<'a> ProblemPage<'a> {
    pub(crate) fn new(
        (status, code): (StatusCode, &'a str),
        (title, detail): (String, &'a str),
        errors: &'a [FieldError],
        request_id: &'a str,
    ) -> Self {
        let (title, detail) = match code {
            "UNAUTHENTICATED" => (
                "Not signed in".to_owned(),
                "You are not signed in, or this address is for programs, which send a token.",
            ),
            "CROSS_SITE" => ("This form came from elsewhere".to_owned(), detail),
            "TENANT_NOT_FOUND" => (
                "Nobody is here".to_owned(),
                "No tenant is served at this address. Check it for a typing mistake.",
            ),
            _ => (title, detail),
        };
        Self {
            title,
            detail,
            errors,
            status,
            code,
            request_id,
            sign_in: status == StatusCode::UNAUTHORIZED || code == "CROSS_SITE",
        }
    }

    /// The page; nothing can be sent from it.
    pub(crate) fn respond(&self) -> Result<Response, Problem> {
        page(self.status, self, &[])
    }
}
