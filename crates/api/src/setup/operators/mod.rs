//! Persons and programs that may run the control plane. Owners alone change them.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;
pub(crate) mod rotate;
mod ttl;
pub(crate) mod update;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, Transaction};
use tenantry_catalog::operators::{self, Role};
use tenantry_catalog::{CatalogError, operators::Operator as Known};
use tenantry_types::{ErrorKind, OperatorId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::Operator;
use crate::openapi::words;
use crate::problem::Problem;
use crate::rights::Right;

/// An operator as told: never their token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Operator)]
pub(crate) struct View {
    #[schema(value_type = words::OperatorId)]
    operator_id: OperatorId,
    #[schema(value_type = words::OperatorName)]
    name: String,
    #[schema(value_type = words::OperatorRole)]
    role: Role,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
    /// When their token ends; `null`: never.
    #[schema(value_type = Option<words::Timestamp>, required)]
    expires_at: Option<Timestamp>,
    /// Until when the token before this one is good, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    former_token_until: Option<Timestamp>,
    /// When their token was last used, to within five minutes.
    #[schema(value_type = Option<words::Timestamp>, required)]
    last_used_at: Option<Timestamp>,
    /// Since when their token is worthless.
    #[schema(value_type = Option<words::Timestamp>, required)]
    revoked_at: Option<Timestamp>,
}

impl From<Known> for View {
    fn from(operator: Known) -> Self {
        Self {
            operator_id: operator.id,
            name: operator.name,
            role: operator.role,
            created_at: operator.created_at,
            expires_at: operator.expires_at,
            former_token_until: operator.former_until,
            last_used_at: operator.last_used_at,
            revoked_at: operator.revoked_at,
        }
    }
}

/// Begins a change of operators. Nobody else changes any until it ends, and who asks for it still is an
/// owner: a right that was taken from them meanwhile counts.
async fn begin(app: &App, by: &Operator) -> Result<Transaction<'static, Postgres>, Problem> {
    let mut tx = app.catalog.begin().await.map_err(CatalogError::from)?;
    operators::lock(&mut tx).await?;
    let me = operators::by_ref(&mut tx, &by.id.to_string())
        .await?
        .ok_or_else(Problem::unauthenticated)?;
    if !Right::Govern.is_of(me.role) {
        return Err(Problem::role_required(Right::Govern, me.role));
    }
    if me.expires_at.is_some_and(|end| end <= app.clock.now()) {
        return Err(Problem::token_expired());
    }
    Ok(tx)
}

/// The operator of this id or name.
async fn find(conn: &mut PgConnection, whom: &str) -> Result<Known, Problem> {
    let found = operators::by_ref(conn, whom).await?;
    found.ok_or_else(|| Problem::not_found("OPERATOR_NOT_FOUND"))
}

/// Writes down who changed which operator, and ends the change: unless nobody would be left who may do
/// everything for good.
async fn commit(
    mut tx: Transaction<'static, Postgres>,
    app: &App,
    by: &Operator,
    action: &str,
    detail: Value,
) -> Result<(), Problem> {
    if operators::lasting_owners(&mut tx).await? == 0 {
        return Err(Problem::new(ErrorKind::Conflict, "LAST_OWNER"));
    }
    app.lifecycle
        .audit(&mut tx, &by.asker(), action, None, None, detail)
        .await?;
    tx.commit().await.map_err(CatalogError::from)?;
    Ok(())
}

/// What the trail has of an operator, before and after.
fn told(role: Role, expires_at: Option<Timestamp>) -> Value {
    json!({ "role": role, "expiresAt": expires_at })
}
