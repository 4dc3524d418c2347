//! Listing tenants, a page at a time.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::PgConnection;
use tenantry_types::{ErrorKind, TenantId};
use uuid::Uuid;

use super::{Status, Tenant, TenantRow, tenant_query};
use crate::CatalogError;

/// Which tenants to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those in this state.
    pub status: Option<Status>,
    /// Only those whose slug or name holds this text, whatever its case.
    pub search: Option<String>,
    /// At most this many.
    pub limit: u32,
    /// Only those after this place.
    pub after: Option<Cursor>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The tenants in the order of their creation.
    pub items: Vec<Tenant>,
    /// Where the next page begins; none: this was the last.
    pub next: Option<Cursor>,
}

/// A place in the list. For others it is a text without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(TenantId);

/// A cursor that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no cursor of this list: pass on `nextCursor` as it was given")]
pub struct InvalidCursor;

/// One page of tenants in the order of their creation.
///
/// The order is that of the ids, which are UUIDv7 and rise with time: a place that stays where it
/// is, whatever is created or purged between two pages.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn page(conn: &mut PgConnection, filter: &Filter) -> Result<Page, CatalogError> {
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX).max(1);
    let rows = tenant_query!(
        "WHERE ($1::uuid IS NULL OR t.id > $1)
           AND ($2::text IS NULL OR t.status = $2)
           AND ($3::text IS NULL OR t.slug ILIKE $3 OR t.name ILIKE $3)
         ORDER BY t.id LIMIT $4",
        filter.after.map(|cursor| cursor.0.as_uuid()),
        filter.status.map(Status::as_str),
        filter.search.as_deref().map(containing),
        // One more than asked for tells whether there is a next page.
        i64::from(filter.limit.max(1)).saturating_add(1)
    )
    .fetch_all(conn)
    .await?;
    let more = rows.len() > limit;
    let items = rows
        .into_iter()
        .take(limit)
        .map(TenantRow::decode)
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

/// A LIKE pattern for texts that hold this one.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
