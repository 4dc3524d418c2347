//! The operator who asks.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::USER_AGENT;
use http::request::Parts;
use sqlx::PgConnection;
use tenantry_catalog::operators::{self, Holder, Role};
use tenantry_catalog::{CatalogError, operators::Operator as Known};
use tenantry_lifecycle::Asker;
use tenantry_types::{OperationId, OperatorId, Secret, TenantId};

use super::{ClientAddress, Guard, RequestId, credentials};
use crate::app::App;
use crate::operator_token;
use crate::problem::Problem;
use crate::rights::{Govern, Needs, Right};
use crate::routes::{Access, HostKind};

/// Someone who holds an operator token whose role has the right `N`: an owner, where a handler does not say
/// which one. Looked up on each request, so that a revocation and another role are in force at once; cookies
/// do not count here.
pub(crate) struct Operator<N = Govern>(Caller, PhantomData<N>);

/// Who asks, whatever they may.
pub(crate) struct Caller {
    pub(crate) id: OperatorId,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) token: Secret,
    pub(crate) request_id: RequestId,
    address: Option<String>,
    agent: Option<String>,
}

impl Caller {
    /// Who holds the token of this request, if their role has the right.
    ///
    /// # Errors
    /// 401 without a good token, 403 without the right.
    pub(crate) async fn of(parts: &mut Parts, app: &App, right: Right) -> Result<Self, Problem> {
        let token = credentials::bearer(&parts.headers)?
            .filter(|token| operator_token::has_shape(token.expose()))
            .ok_or_else(Problem::unauthenticated)?;
        let known = known(app, &token).await?;
        if !right.is_of(known.role) {
            return Err(Problem::role_required(right, known.role));
        }
        let ClientAddress(address) = match ClientAddress::from_request_parts(parts, app).await {
            Ok(address) => address,
            Err(never) => match never {},
        };
        Ok(Self {
            id: known.id,
            name: known.name,
            role: known.role,
            token,
            request_id: RequestId::from_request_parts(parts, app).await?,
            address: address.map(|address| address.to_string()),
            agent: agent_of(&parts.headers),
        })
    }

    /// Who asks, for the journal and the audit trail.
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            operator: Some(self.id),
            name: self.name.clone(),
            request_id: Some(self.request_id.as_str().to_owned()),
            address: self.address.clone(),
            agent: self.agent.clone(),
        }
    }

    /// Whether they may know of this tenant.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub(crate) async fn sees_tenant(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
    ) -> Result<bool, CatalogError> {
        match self.role {
            Role::Owner | Role::Operator | Role::ReadOnly => Ok(true),
            Role::Provisioner => operators::created_tenant(conn, self.id, tenant).await,
        }
    }

    /// Refuses who may not know of this operation, as if there were none.
    ///
    /// # Errors
    /// `OPERATION_NOT_FOUND`, or when the catalog does not answer.
    pub(crate) async fn must_see(&self, app: &App, operation: OperationId) -> Result<(), Problem> {
        let sees = match self.role {
            Role::Owner | Role::Operator | Role::ReadOnly => true,
            Role::Provisioner => {
                let mut conn = app.catalog().await?;
                operators::asked_for_creation(&mut conn, self.id, operation).await?
            }
        };
        match sees {
            true => Ok(()),
            false => Err(Problem::not_found("OPERATION_NOT_FOUND")),
        }
    }

    /// Whether they may be told what a creation tells once.
    pub(crate) fn may_read_secrets(&self) -> bool {
        match self.role {
            Role::Owner | Role::Operator | Role::Provisioner => true,
            Role::ReadOnly => false,
        }
    }
}

async fn known(app: &App, token: &Secret) -> Result<Known, Problem> {
    let hash = operator_token::hash_token(token);
    // Never closed, so there always is a turn.
    let _turn = app.token_turns.acquire().await.ok();
    let mut conn = app.catalog().await?;
    match operators::by_token_hash(&mut conn, &hash).await? {
        Some(Holder::Good(known)) => Ok(known),
        Some(Holder::Expired) => Err(Problem::token_expired()),
        None => Err(Problem::unauthenticated()),
    }
}

/// What a client says that it is: its beginning, in characters that do nothing in a terminal.
fn agent_of(headers: &HeaderMap) -> Option<String> {
    let clean = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    let agent = headers.get(USER_AGENT)?.as_bytes();
    Some(agent.iter().take(200).map(clean).collect())
}

impl<N> Deref for Operator<N> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<N: Needs> Guard for Operator<N> {
    const HOST: HostKind = HostKind::Base;

    fn access() -> Access {
        Access::Operator(N::RIGHT)
    }
}

impl<N: Needs> FromRequestParts<App> for Operator<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::of(parts, app, N::RIGHT).await?;
        Ok(Self(caller, PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_agent_is_short_and_does_nothing_in_a_terminal() {
        let of = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(
                USER_AGENT,
                HeaderValue::from_bytes(bytes).expect("a header"),
            );
            agent_of(&headers)
        };
        assert_eq!(of(b"tenantry/0.1.0"), Some("tenantry/0.1.0".to_owned()));
        assert_eq!(of(b"a\tb\xc2\x9bc"), Some("a?b??c".to_owned()));
        assert_eq!(of(&[b'a'; 900]).map(|agent| agent.len()), Some(200));
        assert_eq!(agent_of(&HeaderMap::new()), None);
    }
}
