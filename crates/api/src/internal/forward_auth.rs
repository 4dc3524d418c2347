//! `GET /internal/forward-auth`: whose a request is, for a proxy that has it in its hands.
//!
//! The proxy asks with the headers of the request it got and, beside them, with what it knows itself:
//! the host in `X-Forwarded-Host` and the method in `X-Forwarded-Method`. From these the request is put
//! together again and goes the way that the public listener's requests go, through the same guards: the
//! tenant, the credentials and the reasons for a refusal cannot differ.
//!
//! Of the two headers one each is read and nothing like them (`X-Original-URL`, `Forwarded`): a second
//! way to say it would be the client's, wherever a proxy passes on what it does not know.

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, COOKIE, FORWARDED, HOST, ORIGIN,
    SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tenantry_router::{Route, Visits};
use tenantry_tenantdb::permission::OwnAccount;
use tenantry_tenantdb::principals::Principal;
use tenantry_types::ErrorKind;

use super::Internal;
use crate::app::App;
use crate::context::{Allowed, Query, Site, Visitor, authority, is_signed_in};
use crate::fields::{Fields, FromFields};
use crate::problem::Problem;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");

const TENANT_ID: &str = "x-tenantry-tenant-id";
const SLUG: &str = "x-tenantry-slug";
const PLAN: &str = "x-tenantry-plan";
const USER_ID: &str = "x-tenantry-user-id";
const ROLES: &str = "x-tenantry-roles";
const PERMISSIONS: &str = "x-tenantry-permissions";

/// All of them.
pub(super) const HEADERS: &[&str] = &[TENANT_ID, SLUG, PLAN, USER_ID, ROLES, PERMISSIONS];

/// How the proxy wants to be answered.
struct Asked {
    user: User,
    refusal: bool,
}

/// What credentials are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    /// Who shows some is told of; who shows none may come, too.
    Optional,
    /// Who shows none may not come.
    Required,
    /// The product has its own; ours are not looked at.
    Ignored,
}

impl FromFields for Asked {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let user = fields.optional("user", |text| match text {
            "optional" => Ok(User::Optional),
            "required" => Ok(User::Required),
            "ignored" => Ok(User::Ignored),
            _ => Err("must be `optional`, `required` or `ignored`"),
        });
        let answer = fields.optional("answer", |text| match text {
            "refusal" => Ok(true),
            _ => Err("must be `refusal`"),
        });
        Some(Self {
            user: user.unwrap_or(User::Optional),
            refusal: answer.unwrap_or(false),
        })
    }
}

/// 200 with the headers that the product is to be given, or the refusal that its client is to be shown.
pub(super) async fn handle(
    State(Internal { app, .. }): State<Internal>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut asking, _) = request.into_parts();
    let Query(asked) = Query::<Asked>::from_request_parts(&mut asking, &app).await?;
    let mut parts = original(&asking.headers, &app)?;
    let visits = Visits::new();
    parts.extensions.insert(visits.entrance());
    let asking = async {
        match asked.user {
            User::Ignored => anyone(&mut parts, &app).await,
            // Browsers send no credentials with the question whether they may ask (Fetch, 3.2.2), and
            // give up when it is refused. The answer to it is the product's.
            User::Required if !is_preflight(&parts) => somebody(&mut parts, &app).await,
            User::Required => anyone(&mut parts, &app).await,
            User::Optional => whoever(&mut parts, &app).await,
        }
    };
    let headers = visits.until_cut(asking).await?;
    let headers = headers.map_err(|problem| match problem.code() {
        // The path is the proxy's, which does not tell it: nobody is sent to another one.
        "TENANT_MOVED" => Problem::no_tenant_here(),
        _ => problem,
    })?;
    if asked.refusal {
        // Asked for what to show of a refusal, by a proxy that was refused a moment ago: nobody is let
        // in by this answer, whatever has changed since.
        return Err(Problem::new(ErrorKind::Unavailable, "TENANT_NOT_READY"));
    }
    Ok((StatusCode::OK, headers).into_response())
}

/// The request that the proxy got, as far as it says who wants what of whom.
fn original(asking: &HeaderMap, app: &App) -> Result<Parts, Problem> {
    let host = only(asking, &FORWARDED_HOST)?
        .ok_or_else(|| Problem::new(ErrorKind::Malformed, "BAD_HOST"))?;
    // One that is not told may be any: then a cookie counts from our own pages only.
    let method = only(asking, &FORWARDED_METHOD)?
        .and_then(|method| Method::from_bytes(method.as_bytes()).ok())
        .filter(|_| !opens_a_tunnel(asking))
        .unwrap_or(Method::POST);
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method;
    for (name, value) in asking {
        let is_the_proxys = name.as_str().starts_with("x-forwarded-") || name == FORWARDED;
        if !is_the_proxys && name != HOST {
            parts.headers.append(name.clone(), value.clone());
        }
    }
    parts.headers.insert(HOST, host.clone());
    let authority = authority(&parts.uri, &parts.headers)?;
    let site = Site::from(app.router.parse_host(&authority.0)?);
    if matches!(site, Site::Base) {
        // There is no product at a base domain: a token or a header that names a tenant makes none.
        return Err(Problem::new(ErrorKind::Malformed, "TENANT_NOT_NAMED"));
    }
    parts.extensions.insert(authority);
    parts.extensions.insert(site);
    Ok(parts)
}

/// Whether it is a websocket's handshake: a GET, and the beginning of whatever the page then sends. Pages
/// of any site may begin one, the browser adds the cookie, and no CORS keeps them from reading the answers.
/// By either header, as nginx asks without `Upgrade`.
fn opens_a_tunnel(asking: &HeaderMap) -> bool {
    asking.contains_key(UPGRADE) || asking.contains_key(SEC_WEBSOCKET_KEY)
}

/// Two are none: the proxy may have looked at the other.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Problem::new(ErrorKind::Malformed, "BAD_HOST")),
    }
}

fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The tenant of the host alone.
async fn anyone(parts: &mut Parts, app: &App) -> Result<HeaderMap, Problem> {
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove(COOKIE);
    let visitor = Visitor::from_request_parts(parts, app).await?;
    Ok(of_tenant(&visitor.route))
}

/// The tenant and who is signed in there.
async fn somebody(parts: &mut Parts, app: &App) -> Result<HeaderMap, Problem> {
    let mut who = Allowed::<OwnAccount>::from_request_parts(parts, app).await?;
    who.release();
    let mut headers = of_tenant(who.route());
    add_user(&mut headers, &who.principal);
    Ok(headers)
}

/// As [`somebody`], where credentials are shown. A Bearer token that does not count is refused: whoever
/// sends one means it. A cookie goes along by itself, also one whose session has ended meanwhile.
async fn whoever(parts: &mut Parts, app: &App) -> Result<HeaderMap, Problem> {
    if !is_signed_in(parts, app)? {
        return anyone(parts, app).await;
    }
    match somebody(parts, app).await {
        Err(problem)
            if problem.status() == StatusCode::UNAUTHORIZED
                && !parts.headers.contains_key(AUTHORIZATION) =>
        {
            anyone(parts, app).await
        }
        known => known,
    }
}

fn of_tenant(route: &Route) -> HeaderMap {
    let mut headers = HeaderMap::new();
    set(&mut headers, TENANT_ID, &route.tenant_id().to_string());
    set(&mut headers, SLUG, route.slug().as_str());
    set(&mut headers, PLAN, &route.plan().to_string());
    // Empty, not absent: in place of a header that is not there, Caddy (2.6) gives the product the name
    // of its variable, which looks like somebody.
    for name in [USER_ID, ROLES, PERMISSIONS] {
        set(&mut headers, name, "");
    }
    headers
}

fn add_user(headers: &mut HeaderMap, principal: &Principal) {
    set(headers, USER_ID, &principal.user_id.to_string());
    set(
        headers,
        ROLES,
        &list(principal.roles.iter().map(String::as_str)),
    );
    set(headers, PERMISSIONS, &list(principal.grants.all()));
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Ids, slugs, plans and what `list` writes: always text for a header.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Names between commas. What a header cannot hold, a comma and `%` are percent-encoded, as in a URL.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push(',');
        }
        for byte in name.bytes() {
            match byte {
                b',' | b'%' => text.push_str(&format!("%{byte:02X}")),
                0x21..=0x7e => text.push(char::from(byte)),
                _ => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_list_are_encoded_where_a_header_cannot_hold_them() {
        let all = ["Admin", "Büro Süd", "a,b", "100%", "x\r\ny: z"];
        assert_eq!(
            list(all.into_iter()),
            "Admin,B%C3%BCro%20S%C3%BCd,a%2Cb,100%25,x%0D%0Ay:%20z"
        );
        assert_eq!(list(std::iter::empty()), "");
    }

    #[test]
    fn a_header_that_is_there_twice_is_none() {
        let mut headers = HeaderMap::new();
        assert!(matches!(only(&headers, &FORWARDED_HOST), Ok(None)));
        headers.append(FORWARDED_HOST, HeaderValue::from_static("acme.localhost"));
        assert!(matches!(only(&headers, &FORWARDED_HOST), Ok(Some(_))));
        headers.append(FORWARDED_HOST, HeaderValue::from_static("evil.localhost"));
        assert!(only(&headers, &FORWARDED_HOST).is_err());
    }
}
