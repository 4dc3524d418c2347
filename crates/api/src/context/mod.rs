//! Extractors: what a handler may know of its request.
//!
//! The first argument of a handler is its [`Guard`]. It settles in this order which host was asked
//! (404), who asks (401), and whether they may (403); only then is anything else of the request
//! read. No connection is held before the credentials are parsed.

mod allowed;
mod audience;
mod base_visitor;
mod chain;
mod client;
mod credentials;
mod forwarded;
mod front;
mod operator;
mod origin;
mod page;
mod path;
mod query;
mod request_id;
mod site;
pub(crate) mod trace;
mod visitor;

pub(crate) use allowed::Allowed;
pub(crate) use audience::Audience;
pub(crate) use base_visitor::BaseVisitor;
pub(crate) use chain::{SECRET_HEADERS, names_tenant};
pub(crate) use client::{ClientAddress, client_of, from_proxy};
pub(crate) use credentials::{AccessToken, RefreshCookie, is_signed_in};
pub(crate) use forwarded::{compare, forwarded_host};
pub(crate) use front::Front;
pub(crate) use operator::{Caller, Operator};
pub(crate) use origin::{Senders, form_may_come};
pub(crate) use page::{Items, Page, UserCursor};
pub(crate) use path::{ClusterRef, Domain, OperatorRef, Path};
pub(crate) use query::Query;
pub(crate) use request_id::RequestId;
pub(crate) use site::{Authority, Site, authority};
pub(crate) use visitor::Visitor;

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::app::App;
use crate::routes::{Access, HostKind};

/// Who may call a handler, and where: the type of its first argument.
pub(crate) trait Guard {
    /// Where the handler answers.
    const HOST: HostKind;

    /// Who may call it, for the URL table.
    fn access() -> Access;
}

/// Anyone, at any host.
pub(crate) struct Anyone;

impl Guard for Anyone {
    const HOST: HostKind = HostKind::Any;

    fn access() -> Access {
        Access::Public
    }
}

impl FromRequestParts<App> for Anyone {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self)
    }
}
