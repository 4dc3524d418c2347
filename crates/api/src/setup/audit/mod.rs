//! The audit trail: what was done, by whom, from where, how it ended, and whether it is still what it was.

pub(crate) mod denied;
pub(crate) mod export;
pub(crate) mod list;
pub(crate) mod verify;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use tenantry_catalog::audit::{Cursor, Filter, Line, Outcome};
use tenantry_catalog::tenants::{self, TenantRef};
use tenantry_types::{AuditId, OperationId, OperatorId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::context::Page;
use crate::fields::{Fields, FromFields, line};
use crate::openapi::words;
use crate::problem::Problem;

/// One act.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditLine)]
pub(crate) struct View {
    #[schema(value_type = String, format = "uuid")]
    audit_id: AuditId,
    #[schema(value_type = words::Timestamp)]
    at: Timestamp,
    /// Who did it: an operator's name, or the part of the program.
    #[schema(example = "billing backend")]
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::OperatorId, required = false)]
    operator_id: Option<OperatorId>,
    /// What was done.
    #[schema(example = "tenant.suspend")]
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::TenantId, required = false)]
    tenant_id: Option<TenantId>,
    /// The address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "192.0.2.17")]
    address: Option<String>,
    /// What the client said that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// Why, in the words of who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// How it was, as far as it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    before: Option<Value>,
    /// How it is since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    after: Option<Value>,
    /// What else is worth knowing.
    #[schema(value_type = Object)]
    detail: Value,
    /// The operation that it began or decides about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::OperationId, required = false)]
    operation_id: Option<OperationId>,
    #[schema(value_type = words::AuditOutcome)]
    outcome: Outcome,
    /// What it failed with, a code as problems have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
    /// When the operation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    ended_at: Option<Timestamp>,
}

impl From<Line> for View {
    fn from(line: Line) -> Self {
        let mut detail = line.detail;
        let mut take = |key: &str| detail.as_object_mut()?.remove(key);
        let (before, after) = (take("from"), take("to"));
        take("operationId");
        Self {
            audit_id: line.id,
            at: line.at,
            actor: line.actor,
            operator_id: line.operator,
            action: line.action,
            tenant_id: line.tenant,
            address: line.address,
            agent: line.agent,
            request_id: line.request_id,
            reason: line.reason,
            before,
            after,
            detail,
            operation_id: line.operation,
            outcome: line.outcome,
            code: line.code,
            ended_at: line.ended_at,
        }
    }
}

/// Which acts are asked for, and which page of them.
pub(crate) struct Search {
    page: Page<Cursor>,
    which: Which,
}

/// Which acts are asked for.
pub(crate) struct Which {
    actor: Option<String>,
    action: Option<String>,
    tenant: Option<TenantRef>,
    request_id: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    outcome: Option<Outcome>,
}

impl FromFields for Search {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let page = Page::from_fields(fields);
        let which = Which::read(fields);
        Some(Self { page: page?, which })
    }
}

impl Which {
    fn read(fields: &mut Fields) -> Self {
        Self {
            actor: fields.optional("actor", |text| line(text, 1, 200)),
            action: fields.optional("action", |text| line(text, 1, 100)),
            tenant: fields.optional("tenant", str::parse),
            request_id: fields.optional("requestId", |text| line(text, 1, 64)),
            since: fields.optional("since", moment),
            until: fields.optional("until", moment),
            outcome: fields.optional("outcome", str::parse),
        }
    }

    /// The same for the catalog.
    ///
    /// # Errors
    /// `TENANT_NOT_FOUND` for a slug that is no tenant's.
    async fn filter(self, conn: &mut PgConnection) -> Result<Filter, Problem> {
        let tenant = match self.tenant {
            None => None,
            // A tenant that was purged has no row; what was done to it remains.
            Some(TenantRef::Id(id)) => Some(id),
            Some(tenant) => {
                let found = tenants::by_ref(conn, &tenant).await?;
                let found = found.ok_or_else(|| Problem::not_found("TENANT_NOT_FOUND"))?;
                Some(found.id)
            }
        };
        Ok(Filter {
            actor: self.actor,
            action: self.action,
            tenant,
            request_id: self.request_id,
            since: self.since,
            until: self.until,
            outcome: self.outcome,
            limit: 0,
            after: None,
        })
    }
}

/// A moment as RFC 3339 has it.
fn moment(text: &str) -> Result<Timestamp, &'static str> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.with_timezone(&Utc))
        .map_err(|_| "must be a moment like `2026-03-14T09:26:53Z`")
}
