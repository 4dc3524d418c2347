//! `POST /sign-in/redeem`: the last step of a sign-in that began at a base domain.

use axum::response::Response;
use http::StatusCode;

use super::{Refusal, SignInPage};
use crate::context::{Authority, ClientAddress, Front, Senders, Visitor};
use crate::form::{Form, FormFields};
use crate::pages::see_other;
use crate::problem::Problem;
use crate::tenant::auth::redeem::{self, Code};
use crate::tenant::auth::set_cookies;

impl FormFields for Code {
    // Whoever else could send it would sign a person in to an account of his own choice.
    const SENDERS: Senders = Senders::OwnOrBase;
}

/// Begins the session, and leads away from the form. The page that follows is asked for across sites
/// where the tenant has a domain of its own; the cookies are `SameSite=Lax` for it.
pub(crate) async fn handle(
    visitor: Visitor,
    host: Authority,
    client: ClientAddress,
    Form(Code { code }): Form<Code>,
) -> Result<Response, Problem> {
    match redeem::begin(&visitor, &client, &code).await {
        Ok((user, session)) => {
            let mut response = see_other("/");
            set_cookies(response.headers_mut(), &visitor, user, &session)?;
            Ok(response)
        }
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            // Used before, or too late: the form for signing in is what helps.
            let front = Front::Tenant(visitor);
            let refusal = Refusal::used_up();
            SignInPage {
                refusal: Some(&refusal),
                ..SignInPage::new(&front, &host)
            }
            .respond()
        }
        Err(problem) => Err(problem),
    }
}
