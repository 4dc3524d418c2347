//! Reading the trail, a page at a time.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sqlx::PgConnection;
use tenantry_types::{AuditId, ErrorKind, TenantId, Timestamp};
use uuid::Uuid;

use super::{Line, Outcome};
use crate::CatalogError;
use crate::error::Row;

/// Which lines to read.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only what was done by who has this name.
    pub actor: Option<String>,
    /// Only this act, or with a `.` at its end those that begin so: `tenant.`.
    pub action: Option<String>,
    /// Only what was done to this tenant.
    pub tenant: Option<TenantId>,
    /// Only what this request asked for.
    pub request_id: Option<String>,
    /// Only what was done then or later.
    pub since: Option<Timestamp>,
    /// Only what was done before.
    pub until: Option<Timestamp>,
    /// Only what ended so.
    pub outcome: Option<Outcome>,
    /// At most this many.
    pub limit: u32,
    /// Only those beyond this place.
    pub after: Option<Cursor>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The lines.
    pub items: Vec<Line>,
    /// Where the next page begins; none: this was the last.
    pub next: Option<Cursor>,
}

/// A place in the trail. For others it is a text without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(AuditId);

/// A cursor that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no cursor of this list: pass on `nextCursor` as it was given")]
pub struct InvalidCursor;

/// One page, the newest first.
///
/// The order is that of the ids, which are UUIDv7 and rise with time.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn page(conn: &mut PgConnection, filter: &Filter) -> Result<Page, CatalogError> {
    let rows = sqlx::query_as!(
        LineRow,
        r#"SELECT l.id AS "id!", l.at AS "at!", l.actor AS "actor!", l.operator_id, l.action AS "action!",
                  l.tenant_id, l.request_id, l.address, l.agent, l.reason, l.detail AS "detail!",
                  l.operation_id, l.outcome AS "outcome!", l.code AS "code?",
                  l.ended_at AS "ended_at?"
           FROM (SELECT a.*, o.code, o.at AS ended_at,
                        coalesce(o.outcome, CASE WHEN a.awaits THEN 'pending' ELSE 'done' END) AS outcome
                 FROM audit a LEFT JOIN audit_outcomes o ON o.audit_id = a.id) l
           WHERE ($1::uuid IS NULL OR l.id < $1)
             AND ($2::text IS NULL OR l.actor = $2)
             AND ($3::text IS NULL OR l.action = $3 OR (right($3, 1) = '.' AND starts_with(l.action, $3)))
             AND ($4::uuid IS NULL OR l.tenant_id = $4)
             AND ($5::text IS NULL OR l.request_id = $5)
             AND ($6::timestamptz IS NULL OR l.at >= $6)
             AND ($7::timestamptz IS NULL OR l.at < $7)
             AND ($8::text IS NULL OR l.outcome = $8)
           ORDER BY l.id DESC LIMIT $9"#,
        filter.after.map(|cursor| cursor.0.as_uuid()),
        filter.actor.as_deref(),
        filter.action.as_deref(),
        filter.tenant.map(|id| id.as_uuid()),
        filter.request_id.as_deref(),
        filter.since,
        filter.until,
        filter.outcome.map(Outcome::as_str),
        one_more(filter.limit),
    )
    .fetch_all(conn)
    .await?;
    cut(rows, filter.limit)
}

/// As [`page`], the oldest first.
///
/// # Errors
/// As [`page`].
pub async fn since(conn: &mut PgConnection, filter: &Filter) -> Result<Page, CatalogError> {
    let rows = sqlx::query_as!(
        LineRow,
        r#"SELECT l.id AS "id!", l.at AS "at!", l.actor AS "actor!", l.operator_id, l.action AS "action!",
                  l.tenant_id, l.request_id, l.address, l.agent, l.reason, l.detail AS "detail!",
                  l.operation_id, l.outcome AS "outcome!", l.code AS "code?",
                  l.ended_at AS "ended_at?"
           FROM (SELECT a.*, o.code, o.at AS ended_at,
                        coalesce(o.outcome, CASE WHEN a.awaits THEN 'pending' ELSE 'done' END) AS outcome
                 FROM audit a LEFT JOIN audit_outcomes o ON o.audit_id = a.id) l
           WHERE ($1::uuid IS NULL OR l.id > $1)
             AND ($2::text IS NULL OR l.actor = $2)
             AND ($3::text IS NULL OR l.action = $3 OR (right($3, 1) = '.' AND starts_with(l.action, $3)))
             AND ($4::uuid IS NULL OR l.tenant_id = $4)
             AND ($5::text IS NULL OR l.request_id = $5)
             AND ($6::timestamptz IS NULL OR l.at >= $6)
             AND ($7::timestamptz IS NULL OR l.at < $7)
             AND ($8::text IS NULL OR l.outcome = $8)
           ORDER BY l.id LIMIT $9"#,
        filter.after.map(|cursor| cursor.0.as_uuid()),
        filter.actor.as_deref(),
        filter.action.as_deref(),
        filter.tenant.map(|id| id.as_uuid()),
        filter.request_id.as_deref(),
        filter.since,
        filter.until,
        filter.outcome.map(Outcome::as_str),
        one_more(filter.limit),
    )
    .fetch_all(conn)
    .await?;
    cut(rows, filter.limit)
}

/// One more than asked for tells whether there is a next page.
fn one_more(limit: u32) -> i64 {
    i64::from(limit.max(1)).saturating_add(1)
}

fn cut(rows: Vec<LineRow>, limit: u32) -> Result<Page, CatalogError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    let more = rows.len() > limit;
    let items = rows
        .into_iter()
        .take(limit)
        .map(LineRow::decode)
        .collect::<Result<Vec<_>, _>>()?;
    let next = items.last().filter(|_| more).map(|last| Cursor(last.id));
    Ok(Page { items, next })
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_uuid().as_bytes()))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let id = Uuid::from_slice(&bytes).map_err(|_| InvalidCursor)?;
        Ok(Self(id.into()))
    }
}

impl InvalidCursor {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "INVALID_CURSOR"
    }
}

struct LineRow {
    id: Uuid,
    at: Timestamp,
    actor: String,
    operator_id: Option<Uuid>,
    action: String,
    tenant_id: Option<Uuid>,
    request_id: Option<String>,
    address: Option<String>,
    agent: Option<String>,
    reason: Option<String>,
    detail: Value,
    operation_id: Option<Uuid>,
    outcome: String,
    code: Option<String>,
    ended_at: Option<Timestamp>,
}

impl LineRow {
    fn decode(self) -> Result<Line, CatalogError> {
        let row = Row::of("audit", self.id);
        Ok(Line {
            id: self.id.into(),
            at: self.at,
            actor: self.actor,
            operator: self.operator_id.map(Into::into),
            action: self.action,
            tenant: self.tenant_id.map(Into::into),
            request_id: self.request_id,
            address: self.address,
            agent: self.agent,
            reason: self.reason,
            detail: self.detail,
            operation: self.operation_id.map(Into::into),
            outcome: row.column("outcome", self.outcome.parse())?,
            code: self.code,
            ended_at: self.ended_at,
        })
    }
}
