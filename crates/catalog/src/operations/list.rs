//! Listing operations, a page at a time.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::PgConnection;
use tenantry_types::{ErrorKind, OperationId, TenantId};
use uuid::Uuid;

use super::{Operation, OperationRow, Status};
use crate::CatalogError;

/// Which operations to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// Only those of this tenant.
    pub tenant: Option<TenantId>,
    /// At most this many.
    pub limit: u32,
    /// Only those before this place: older ones.
    pub after: Option<Cursor>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The operations, the newest first.
    pub items: Vec<Operation>,
    /// Where the next page begins; none: this was the last.
    pub next: Option<Cursor>,
}

/// A place in the list. For others it is a text without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(OperationId);

/// A cursor that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no cursor of this list: pass on `nextCursor` as it was given")]
pub struct InvalidCursor;

/// One page of operations, the newest first.
///
/// The order is that of the ids, which are UUIDv7 and rise with time: what begins between two pages
/// is on neither, and nothing is on both.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn page(conn: &mut PgConnection, filter: &Filter) -> Result<Page, CatalogError> {
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX).max(1);
    let rows = sqlx::query_as!(
        OperationRow,
        "SELECT id, kind, tenant_id, status, params, result, error, asked_by, request_id, fence,
                created_at, updated_at, finished_at, cancel_asked_by, tries_after
         FROM operations
         WHERE ($1::uuid IS NULL OR id < $1)
           AND ($2::text IS NULL OR status = $2)
           AND ($3::text IS NULL OR kind = $3)
           AND ($4::uuid IS NULL OR tenant_id = $4)
         ORDER BY id DESC LIMIT $5",
        filter.after.map(|cursor| cursor.0.as_uuid()),
        filter.status.map(Status::as_str),
        filter.kind.as_deref(),
        filter.tenant.map(|id| id.as_uuid()),
        // One more than asked for tells whether there is a next page.
        i64::from(filter.limit.max(1)).saturating_add(1),
    )
    .fetch_all(conn)
    .await?;
    let more = rows.len() > limit;
    let items = rows
        .into_iter()
        .take(limit)
        .map(OperationRow::decode)
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
