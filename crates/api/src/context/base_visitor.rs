//! Anyone at a base domain.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::Guard;
use crate::app::App;
use crate::routes::{Access, HostKind};

/// Anyone at a base domain who named no tenant: no credentials were asked for.
pub(crate) struct BaseVisitor {
    pub(crate) app: App,
}

impl Guard for BaseVisitor {
    const HOST: HostKind = HostKind::Base;

    fn access() -> Access {
        Access::Public
    }
}

impl FromRequestParts<App> for BaseVisitor {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self { app: app.clone() })
    }
}
