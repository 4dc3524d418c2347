//! Who is asked for: every way in which a request can name a tenant, in one order.
//!
//! 1. the host: a tenant's subdomain or own domain ([`super::site`]; at a base domain it names none)
//! 2. the access token: its `tid`
//! 3. the API key's public part, in `Authorization` or `x-api-key`
//! 4. an alias: `x-app-id`, `x-store-id`, `x-channel-token`
//! 5. `x-tenant-id`
//!
//! Each names a tenant or says nothing. The first that speaks leads; all that speak must lead to the
//! same tenant, else the request is refused, whichever of them is wrong. One that names nobody is as
//! wrong as one that names another tenant: the answer does not tell which it was.
//!
//! Naming is not authenticating: none of this says who asks. An API key's secret is not looked at here.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tenantry_catalog::tenants::TenantRef;
use tenantry_router::{Asked, ResolveError, Route, present_host};
use tenantry_types::{Alias, ApiKey, ChannelToken, ErrorKind, Reference, Slug, TenantId};

use super::credentials::bearer;
use super::{Authority, Site};
use crate::app::App;
use crate::config::ApiConfig;
use crate::problem::Problem;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const APP_ID: HeaderName = HeaderName::from_static("x-app-id");
const STORE_ID: HeaderName = HeaderName::from_static("x-store-id");
const CHANNEL_TOKEN: HeaderName = HeaderName::from_static("x-channel-token");
const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

/// Of these headers, those whose values let somebody in somewhere.
pub(crate) const SECRET_HEADERS: [HeaderName; 2] = [API_KEY, CHANNEL_TOKEN];

/// What a source says, if it says anything: a name, or a text that can be nobody's.
type Said = Option<Asked>;

/// Reads what one source says; 403 when it says several things.
type Says = fn(&HeaderMap, &ApiConfig) -> Result<Option<Said>, Problem>;

/// The sources after the host and the token, in their order.
const HEADERS: [Says; 6] = [
    key_in_authorization,
    key_in_header,
    app_id,
    store_id,
    channel_token,
    tenant_id,
];

/// The tenant of the host that was asked; none at a base domain. It comes before everything else: at
/// an unknown tenant's host nothing of the request is looked at.
///
/// # Errors
/// 404 when the host is nobody's, and what is to be said of a tenant that is not served.
pub(super) async fn by_host(parts: &Parts, app: &App) -> Result<Option<Route>, Problem> {
    match parts.extensions.get::<Site>() {
        Some(Site::Base) => Ok(None),
        Some(Site::Tenant(host)) => match app.router.resolve(host).await {
            Ok(route) => Ok(Some(route)),
            Err(ResolveError::Unknown) => Err(Problem::no_tenant_here()),
            Err(ResolveError::Moved { to }) => Err(moved(parts, app, &to)),
            Err(error) => Err(error.into()),
        },
        Some(Site::Nowhere) | None => Err(Problem::no_tenant_here()),
    }
}

/// The request is to go to the tenant's present host, with everything that it asks there. Only the label
/// of the host is another one, so that nobody is sent anywhere but to a tenant.
fn moved(parts: &Parts, app: &App, to: &Slug) -> Problem {
    let host = parts
        .extensions
        .get::<Authority>()
        .and_then(|authority| present_host(&authority.0, to));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let location = host.map(|host| format!("{}://{host}{path}", app.config.public_scheme));
    // A path may hold bytes that are no text, and no others than a header can.
    let location = location.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
    location.map_or_else(Problem::no_tenant_here, Problem::moved)
}

/// The tenant of a Bearer token that counts.
pub(super) fn by_token(headers: &HeaderMap, app: &App) -> Option<TenantId> {
    let token = bearer(headers).ok().flatten()?;
    let claims = app.tokens.verify(token.expose(), app.clock.now()).ok()?;
    Some(claims.tid)
}

/// Whether a request at a base domain names a tenant itself. A cookie does not: what a browser has
/// left of some tenant keeps nobody from the front door.
pub(crate) fn names_tenant(headers: &HeaderMap, app: &App) -> bool {
    let by_header = HEADERS
        .iter()
        .any(|says| !matches!(says(headers, &app.config), Ok(None)));
    by_header || by_token(headers, app).is_some()
}

/// The one tenant that all of these lead to: the host's, the token's, and what the headers name.
///
/// # Errors
/// 403 when two of them do not lead to the same tenant, 400 when none of them speaks, 404 when the only
/// one that speaks leads nowhere, and what is to be said of a tenant that is not served.
pub(super) async fn agreed(
    parts: &Parts,
    app: &App,
    host: Option<Route>,
    token: Option<TenantId>,
) -> Result<Route, Problem> {
    let names = said(&parts.headers, app, token)?;
    if let Some(route) = host {
        for name in &names {
            if !leads_to(app, name, &route).await? {
                return Err(Problem::wrong_tenant());
            }
        }
        return Ok(route);
    }
    match names.as_slice() {
        [] => Err(Problem::new(ErrorKind::Malformed, "TENANT_NOT_NAMED")),
        [None] => Err(Problem::not_found("TENANT_NOT_FOUND")),
        [Some(name)] => Ok(app.router.resolve_asked(name).await?),
        [first, others @ ..] => {
            // Compared before anything is said of one of them: whether it is there, or served.
            let tenant = tenant_of(app, first).await?;
            for other in others {
                if tenant_of(app, other).await? != tenant {
                    return Err(Problem::wrong_tenant());
                }
            }
            let tenant = tenant.ok_or_else(Problem::wrong_tenant)?;
            let tenant = TenantRef::Id(tenant);
            Ok(app.router.resolve_tenant(&tenant).await?)
        }
    }
}

/// What the token and the headers say, in their order.
///
/// # Errors
/// 403 when a header says several things.
fn said(headers: &HeaderMap, app: &App, token: Option<TenantId>) -> Result<Vec<Said>, Problem> {
    let mut names = Vec::new();
    names.extend(token.map(|id| Some(Asked::Tenant(TenantRef::Id(id)))));
    for says in HEADERS {
        names.extend(says(headers, &app.config)?);
    }
    Ok(names)
}

async fn tenant_of(app: &App, name: &Said) -> Result<Option<TenantId>, Problem> {
    Ok(match name {
        Some(name) => app.router.tenant_of(name).await?,
        None => None,
    })
}

async fn leads_to(app: &App, name: &Said, route: &Route) -> Result<bool, Problem> {
    Ok(match name {
        Some(Asked::Tenant(TenantRef::Id(id))) => *id == route.tenant_id(),
        Some(Asked::Tenant(TenantRef::Slug(slug))) => slug == route.slug(),
        name => tenant_of(app, name).await? == Some(route.tenant_id()),
    })
}

/// `Authorization: Bearer tnt_<id>_<secret>`. Other Bearer tokens are no API keys.
fn key_in_authorization(headers: &HeaderMap, _: &ApiConfig) -> Result<Option<Said>, Problem> {
    let token = bearer(headers).ok().flatten();
    Ok(token.and_then(|token| key(token.expose())))
}

/// `x-api-key`. What does not begin as our keys do is somebody else's, a gateway's perhaps.
fn key_in_header(headers: &HeaderMap, _: &ApiConfig) -> Result<Option<Said>, Problem> {
    Ok(one(headers, &API_KEY)?.and_then(key))
}

fn key(text: &str) -> Option<Said> {
    let ours = text.starts_with(ApiKey::PREFIX);
    ours.then(|| ApiKey::parse(text).map(|key| Asked::Alias(Alias::ApiKey(key.id))))
}

fn app_id(headers: &HeaderMap, config: &ApiConfig) -> Result<Option<Said>, Problem> {
    alias(headers, config, &APP_ID, |text| {
        Reference::parse(text).ok().map(Alias::AppId)
    })
}

fn store_id(headers: &HeaderMap, config: &ApiConfig) -> Result<Option<Said>, Problem> {
    alias(headers, config, &STORE_ID, |text| {
        Reference::parse(text).ok().map(Alias::StoreId)
    })
}

fn channel_token(headers: &HeaderMap, config: &ApiConfig) -> Result<Option<Said>, Problem> {
    alias(headers, config, &CHANNEL_TOKEN, |text| {
        let token = ChannelToken::parse(text).ok();
        token.map(|token| Alias::ChannelToken(token.hash()))
    })
}

fn alias(
    headers: &HeaderMap,
    config: &ApiConfig,
    name: &HeaderName,
    parse: fn(&str) -> Option<Alias>,
) -> Result<Option<Said>, Problem> {
    if !config.alias_headers {
        return Ok(None);
    }
    Ok(one(headers, name)?.map(|text| parse(text).map(Asked::Alias)))
}

/// `x-tenant-id`, where the configuration lets it be read at all.
fn tenant_id(headers: &HeaderMap, config: &ApiConfig) -> Result<Option<Said>, Problem> {
    if !config.allow_tenant_header {
        return Ok(None);
    }
    Ok(one(headers, &TENANT_ID)?.map(|text| text.parse().ok().map(Asked::Tenant)))
}

/// The one value of a header; one that is no text is a name that nobody has.
///
/// # Errors
/// 403 when there are several: they cannot be one name.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.to_str().unwrap_or_default().trim())),
        (Some(_), Some(_)) => Err(Problem::wrong_tenant()),
    }
}
