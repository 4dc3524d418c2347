//! The audit trail: what people and programs did through the control plane. Only ever appended to.

use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{AuditId, OperationId, OperatorId, TenantId, Timestamp};

use crate::CatalogError;

pub mod denied;
mod list;
mod seal;
mod verify;

pub use list::{Cursor, Filter, InvalidCursor, Page, page, since};
pub use seal::{Head, seal};
pub use verify::{Difference, Finding, Verified, verify};

words! {
    /// How an act ended.
    pub enum Outcome {
        /// It goes on.
        Pending = "pending",
        /// It came to what was wanted.
        Done = "done",
        /// It did not, and was undone.
        Failed = "failed",
    }
}

/// One line of the trail, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who did it: an operator's name, or the part of the program.
    pub actor: &'a str,
    /// The operator, where it was one: a name may be another's later.
    pub operator: Option<OperatorId>,
    /// What was done, e.g. `tenant.create`.
    pub action: &'a str,
    /// The tenant it was done to.
    pub tenant: Option<TenantId>,
    /// The request that asked for it.
    pub request_id: Option<&'a str>,
    /// The address that the request came from.
    pub address: Option<&'a str>,
    /// What the client calls itself: at most 200 characters.
    pub agent: Option<&'a str>,
    /// Why, in the words of who did it.
    pub reason: Option<&'a str>,
    /// What else is worth knowing. `from` and `to` are what was before and after; `operationId` is the
    /// operation that the act began, or, of an act `operation.…`, decides about. Holds no secret.
    pub detail: &'a Value,
}

/// One line of the trail, with how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its id.
    pub id: AuditId,
    /// When its transaction began.
    pub at: Timestamp,
    /// As [`Entry::actor`].
    pub actor: String,
    /// As [`Entry::operator`].
    pub operator: Option<OperatorId>,
    /// As [`Entry::action`].
    pub action: String,
    /// As [`Entry::tenant`].
    pub tenant: Option<TenantId>,
    /// As [`Entry::request_id`].
    pub request_id: Option<String>,
    /// As [`Entry::address`].
    pub address: Option<String>,
    /// As [`Entry::agent`].
    pub agent: Option<String>,
    /// As [`Entry::reason`].
    pub reason: Option<String>,
    /// As [`Entry::detail`].
    pub detail: Value,
    /// The operation that it began or decides about.
    pub operation: Option<OperationId>,
    /// How it ended, so far.
    pub outcome: Outcome,
    /// What it failed with.
    pub code: Option<String>,
    /// When it ended; none of what was done with its line.
    pub ended_at: Option<Timestamp>,
}

/// Writes a line, in the transaction of what it tells about, or of what begins it: no line, no act.
///
/// The end of an act that an operation carries on is written by the catalog, when the operation ends.
///
/// # Errors
/// When the catalog does not answer.
pub async fn record(
    conn: &mut PgConnection,
    id: AuditId,
    entry: &Entry<'_>,
) -> Result<(), CatalogError> {
    sqlx::query!(
        "INSERT INTO audit (id, actor, operator_id, action, tenant_id, request_id, address, agent, reason,
                            detail, operation_id, awaits)
         VALUES ($1, $2, $3, $4, $5, $6, left($7, 64), left($8, 200), $9, $10,
                 ($10::jsonb->>'operationId')::uuid,
                 $10::jsonb->>'operationId' IS NOT NULL AND NOT starts_with($4, 'operation.'))",
        id.as_uuid(),
        entry.actor,
        entry.operator.map(|operator| operator.as_uuid()),
        entry.action,
        entry.tenant.map(|tenant| tenant.as_uuid()),
        entry.request_id,
        entry.address,
        entry.agent,
        entry.reason,
        entry.detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}
