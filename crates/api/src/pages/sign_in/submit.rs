//! `POST /sign-in`

use std::convert::Infallible;

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use tenantry_types::{Email, Secret};

use super::{Refusal, SignInPage};
use crate::app::App;
use crate::base::{self, auth::login::OpenedTenant};
use crate::context::{Authority, ClientAddress, Front, Visitor};
use crate::fields::{Fields, FromFields};
use crate::form::{Form, FormFields};
use crate::pages::{page, see_other};
use crate::problem::Problem;
use crate::sign_in::Credentials;
use crate::tenant::auth::{login, set_cookies};

/// Where a person can go on, with a button for each.
#[derive(Template)]
#[template(path = "places.html")]
struct PlacesPage<'a> {
    email: &'a str,
    tenants: &'a [OpenedTenant],
    /// Whether there may be more than these.
    incomplete: bool,
    /// How long they stay open.
    seconds: u64,
}

impl PlacesPage<'_> {
    /// A tenant's address as people say it.
    fn host_of<'a>(&self, url: &'a str) -> &'a str {
        url.split_once("://").map_or(url, |(_, host)| host)
    }
}

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
                Front::Base(app) => at_base(app, &client, credentials).await,
                Front::Tenant(visitor) => at_tenant(visitor, &client, credentials).await,
            };
            match answer {
                Err(problem) => Refusal::of(problem)?,
                answer => return answer,
            }
        }
    };
    SignInPage {
        email: &typed.email,
        refusal: Some(&refusal),
        ..SignInPage::new(&front, &host)
    }
    .respond()
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

/// The tenants that the password opens. The codes stay in this page: the person chooses, and the
/// browser sends one in the body of a form.
async fn at_base(
    app: &App,
    client: &ClientAddress,
    credentials: Credentials,
) -> Result<Response, Problem> {
    let email = credentials.email.clone();
    let opened = base::auth::login::open(app, client, credentials).await?;
    let urls: Vec<&str> = opened
        .tenants
        .iter()
        .map(|tenant| tenant.url.as_str())
        .collect();
    let places = PlacesPage {
        email: email.as_str(),
        tenants: &opened.tenants,
        incomplete: opened.incomplete,
        seconds: app.config.sign_in_code_ttl.as_secs(),
    };
    page(StatusCode::OK, &places, &urls)
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
