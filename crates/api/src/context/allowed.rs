//! A signed-in user of a tenant who holds a permission.

use axum::extract::FromRequestParts;
use http::request::Parts;
use tenantry_router::{Route, TenantConn};
use tenantry_tenantdb::permission::{Granted, Permission};
use tenantry_tenantdb::principals::{self, Principal};

use super::Guard;
use super::chain::by_host;
use super::credentials::access_token;
use super::visitor::Visitor;
use crate::app::App;
use crate::problem::Problem;
use crate::routes::{Access, HostKind};

/// Who asks, proof of what they may do, and the way to the tenant's data.
///
/// The user and their permissions are read from the tenant's own database on each request, so a
/// change of roles is in force at once.
pub(crate) struct Allowed<P: Permission> {
    pub(crate) principal: Principal,
    /// What data functions ask for.
    pub(crate) granted: Granted<P>,
    visitor: Visitor,
    held: Option<TenantConn>,
}

impl<P: Permission> Allowed<P> {
    /// A connection to the tenant: the one that the user was read with, where the method has no
    /// body; else a new lease, because none is held while a body comes in.
    pub(crate) async fn conn(&mut self) -> Result<TenantConn, Problem> {
        match self.held.take() {
            Some(conn) => Ok(conn),
            None => self.visitor.conn().await,
        }
    }

    /// Gives the connection back, for a handler that has no use for it.
    pub(crate) fn release(&mut self) {
        if let Some(conn) = self.held.take() {
            conn.release();
        }
    }

    pub(crate) fn app(&self) -> &App {
        &self.visitor.app
    }

    pub(crate) fn route(&self) -> &Route {
        &self.visitor.route
    }
}

impl<P: Permission> Guard for Allowed<P> {
    const HOST: HostKind = HostKind::Tenant;

    fn access() -> Access {
        if P::EVERYONE {
            return Access::User("own");
        }
        // Once per route and process, for the table.
        Access::User(format!("{}:{}", P::RESOURCE, P::ACTION).leak())
    }
}

impl<P: Permission> FromRequestParts<App> for Allowed<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let host = by_host(parts, app).await?;
        let token = access_token(parts, &app.config)?.ok_or_else(Problem::unauthenticated)?;
        let claims = app
            .tokens
            .verify(token.expose(), app.clock.now())
            .map_err(|error| Problem::unauthenticated().caused_by(error))?;
        let visitor = Visitor::agreed(parts, app, host, Some(claims.tid)).await?;

        let mut conn = visitor.conn().await?;
        let principal = principals::load(&mut conn, claims.sub, claims.sid, &app.clock).await?;
        let granted = principal
            .as_ref()
            .map(|principal| principal.grants.require::<P>());
        let (principal, granted) = match (principal, granted) {
            (Some(principal), Some(Ok(granted))) => (principal, granted),
            (_, Some(Err(denied))) => {
                conn.release();
                let permission = format!("{}:{}", denied.resource, denied.action);
                return Err(Problem::permission_denied(permission));
            }
            _ => {
                conn.release();
                return Err(Problem::unauthenticated());
            }
        };
        let held = if parts.method.is_safe() {
            Some(conn)
        } else {
            conn.release();
            None
        };
        Ok(Self {
            principal,
            granted,
            visitor,
            held,
        })
    }
}
