//! Anyone at a place where people sign in: a base domain or a tenant's host.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{Guard, Site, Visitor};
use crate::app::App;
use crate::problem::Problem;
use crate::routes::{Access, HostKind};

/// Where a page was asked for. No credentials were.
pub(crate) enum Front {
    /// A base domain.
    Base(App),
    /// A tenant's host.
    Tenant(Visitor),
}

impl Guard for Front {
    const HOST: HostKind = HostKind::Tenant;

    fn access() -> Access {
        Access::Public
    }
}

impl FromRequestParts<App> for Front {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        // The host alone says which page it is; what else may name a tenant is for programs.
        if let Some(Site::Base) = parts.extensions.get::<Site>() {
            return Ok(Self::Base(app.clone()));
        }
        Visitor::from_request_parts(parts, app)
            .await
            .map(Self::Tenant)
    }
}
