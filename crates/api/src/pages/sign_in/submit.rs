//! `POST /sign-in`

use std::convert::Infallible;

use axum::response::Response;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tenantry_types::{Email, Secret};

use super::{Refusal, SignInPage};
use crate::context::{Authority, ClientAddress, Front, Visitor};
use crate::fields::{Fields, FromFields};
use crate::form::{Form, FormFields};
use crate::pages::see_other;
use crate::problem::Problem;
use crate::sign_in::Credentials;
use crate::tenant::auth::{login, set_cookies};

/// As it was typed: what is wrong with it is told on the page.
pub(crate) struct Typed {
    email: String,
    password: Secret,
}

impl FromFields for Typed {
    // Anyone may send one.
    const LARGEST: usize = 16 * 1024;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = fields.optional("email", |text| Ok::<_, Infallible>(text.to_owned()));
        let password = fields.secret("password");
        Some(Self {
            email: email.unwrap_or_default(),
            password: password.unwrap_or_else(|| Secret::new("")),
        })
    }
}

impl FormFields for Typed {}

/// Signs a person in, or shows the form again and says why not.
pub(crate) async fn handle(
    front: Front,
    host: Authority,
    client: ClientAddress,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let refusal = match typed.credentials() {
        Err(refusal) => refusal,
        Ok(credentials) => {
            let answer = match &front {
                Front::Base(_) => Err(Problem::not_found("NOT_FOUND")),
                Front::Tenant(visitor) => at_tenant(visitor, &client, credentials).await,
            };
            match answer {
                Err(problem) => Refusal::of(problem)?,
                answer => return answer,
            }
        }
    };
    let page = SignInPage {
        email: &typed.email,
        refusal: Some(&refusal),
        ..SignInPage::new(&front, &host)
    };
    let mut response = page.respond()?;
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if refusal.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Ok(response)
}

impl Typed {
    fn credentials(&self) -> Result<Credentials, Refusal> {
        let email = Email::parse(&self.email).map_err(|_| Refusal::email())?;
        if self.password.expose().is_empty() {
            return Err(Refusal::no_password());
        }
        Ok(Credentials {
            email,
            password: self.password.clone(),
        })
    }
}

async fn at_tenant(
    visitor: &Visitor,
    client: &ClientAddress,
    credentials: Credentials,
) -> Result<Response, Problem> {
    let (user, session) = login::begin(visitor, client, credentials).await?;
    let mut response = see_other("/");
    set_cookies(response.headers_mut(), visitor, user, &session)?;
    Ok(response)
}
