//! The operator who asks.

use axum::extract::FromRequestParts;
use http::request::Parts;
use tenantry_catalog::operators;
use tenantry_lifecycle::Asker;
use tenantry_types::{OperatorId, Secret};

use super::{Guard, RequestId, credentials};
use crate::app::App;
use crate::operator_token;
use crate::problem::Problem;
use crate::routes::{Access, HostKind};

/// Someone who holds an operator token. Looked up on each request, so that a revocation is in force
/// at once; cookies do not count here.
pub(crate) struct Operator {
    pub(crate) id: OperatorId,
    pub(crate) name: String,
    pub(crate) token: Secret,
    pub(crate) request_id: RequestId,
}

impl Operator {
    /// Who asks, for the journal and the audit trail.
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            operator: Some(self.id),
            name: self.name.clone(),
            request_id: Some(self.request_id.as_str().to_owned()),
        }
    }
}

impl Guard for Operator {
    const HOST: HostKind = HostKind::Base;

    fn access() -> Access {
        Access::Operator
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = credentials::bearer(&parts.headers)?
            .filter(|token| operator_token::has_shape(token.expose()))
            .ok_or_else(Problem::unauthenticated)?;
        let hash = operator_token::hash_token(&token);
        let operator = {
            // Never closed, so there always is a turn.
            let _turn = app.token_turns.acquire().await.ok();
            let mut conn = app.catalog().await?;
            operators::by_token_hash(&mut conn, &hash).await?
        };
        let operator = operator.ok_or_else(Problem::unauthenticated)?;
        Ok(Self {
            id: operator.id,
            name: operator.name,
            token,
            request_id: RequestId::from_request_parts(parts, app).await?,
        })
    }
}
