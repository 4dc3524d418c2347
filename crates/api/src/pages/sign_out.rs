//! `POST /sign-out`

use axum::response::Response;

use super::see_other;
use crate::context::{AccessToken, RefreshCookie, Visitor};
use crate::cookies;
use crate::fields::{Fields, FromFields};
use crate::form::{Form, FormFields};
use crate::problem::Problem;
use crate::tenant::auth::logout;

/// A button and nothing else.
pub(crate) struct Nothing;

impl FromFields for Nothing {
    const LARGEST: usize = 1024;

    fn from_fields(_: &mut Fields) -> Option<Self> {
        Some(Self)
    }
}

impl FormFields for Nothing {}

/// Ends the session and forgets it in the browser.
pub(crate) async fn handle(
    visitor: Visitor,
    AccessToken(access): AccessToken,
    RefreshCookie(refresh): RefreshCookie,
    Form(Nothing): Form<Nothing>,
) -> Result<Response, Problem> {
    match logout::end_session(&visitor, access?, refresh.transpose()?).await {
        // The cookie of a tenant that was at this host before: nothing of ours to end.
        Err(problem) if problem.code() == "WRONG_TENANT" => {}
        ended => ended?,
    }
    let mut response = see_other("/sign-in");
    cookies::clear(response.headers_mut(), &visitor.app.config);
    Ok(response)
}
