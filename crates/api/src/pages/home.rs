//! `GET /`: who and where a person is.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use tenantry_tenantdb::permission::OwnAccount;
use tenantry_tenantdb::principals::{self, Principal};
use tenantry_types::Secret;

use super::renewal::OwnWindow;
use super::{page, see_other};
use crate::context::{Allowed, Authority, Front, RefreshCookie, Visitor};
use crate::cookies;
use crate::problem::Problem;
use crate::tenant::auth;

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    tenant: &'a str,
    host: &'a str,
    name: &'a str,
    email: &'a str,
    roles: &'a [String],
}

/// Shows the person who is signed in at this tenant, and leads everybody else to the sign-in page.
pub(crate) async fn handle(
    front: Front,
    host: Authority,
    who: Result<Allowed<OwnAccount>, Problem>,
    OwnWindow(own_window): OwnWindow,
    RefreshCookie(cookie): RefreshCookie,
) -> Result<Response, Problem> {
    let Front::Tenant(visitor) = front else {
        return Ok(see_other("/sign-in"));
    };
    match who {
        Ok(mut who) => {
            who.release();
            show(&visitor, &host, &who.principal)
        }
        Err(problem) if !means_nobody(&problem) => Err(problem),
        Err(_) => match cookie {
            Some(token) if own_window => renew(&visitor, &host, token?).await,
            _ => Ok(see_other("/sign-in")),
        },
    }
}

fn show(visitor: &Visitor, host: &Authority, person: &Principal) -> Result<Response, Problem> {
    let home = Home {
        tenant: visitor.route.name(),
        host: &host.0,
        name: &person.name,
        email: person.email.as_str(),
        roles: &person.roles,
    };
    page(StatusCode::OK, &home, &["'self'"])
}

/// A token that ended, or one of a tenant that was at this host before: the person is a stranger,
/// and can become none by signing in.
fn means_nobody(problem: &Problem) -> bool {
    matches!(problem.code(), "UNAUTHENTICATED" | "WRONG_TENANT")
}

/// Goes on with the session that the refresh cookie continues.
async fn renew(visitor: &Visitor, host: &Authority, token: Secret) -> Result<Response, Problem> {
    let app = &visitor.app;
    if let Some((user, session)) = app.renewals.renew(visitor, &token).await? {
        let mut conn = visitor.conn().await?;
        let person = principals::load(&mut conn, user, session.session, &app.clock).await?;
        conn.release();
        if let Some(person) = person {
            let mut response = show(visitor, host, &person)?;
            auth::set_cookies(response.headers_mut(), visitor, user, &session)?;
            return Ok(response);
        }
    }
    let mut response = see_other("/sign-in");
    cookies::clear(response.headers_mut(), &app.config);
    Ok(response)
}
