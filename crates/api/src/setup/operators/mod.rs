//! Persons and programs that may run the control plane.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use tenantry_catalog::audit;
use tenantry_types::{AuditId, OperatorId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::context::Operator;
use crate::openapi::words;
use crate::problem::Problem;

/// An operator as told: never their token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Operator)]
pub(crate) struct View {
    #[schema(value_type = words::OperatorId)]
    operator_id: OperatorId,
    #[schema(value_type = words::OperatorName)]
    name: String,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
    /// Since when their token is worthless.
    #[schema(value_type = Option<words::Timestamp>, required)]
    revoked_at: Option<Timestamp>,
}

impl From<tenantry_catalog::operators::Operator> for View {
    fn from(operator: tenantry_catalog::operators::Operator) -> Self {
        Self {
            operator_id: operator.id,
            name: operator.name,
            created_at: operator.created_at,
            revoked_at: operator.revoked_at,
        }
    }
}

/// Writes down who changed which operator, in the transaction of the change.
async fn note(
    conn: &mut PgConnection,
    app: &App,
    by: &Operator,
    action: &str,
    whom: OperatorId,
) -> Result<(), Problem> {
    let detail = json!({ "operatorId": whom });
    let entry = audit::Entry {
        actor: &by.name,
        action,
        tenant: None,
        request_id: Some(by.request_id.as_str()),
        reason: None,
        detail: &detail,
    };
    let id = AuditId::generate(&app.clock, &app.entropy);
    Ok(audit::record(conn, id, &entry).await?)
}
