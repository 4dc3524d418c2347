//! Names that a request carries instead of a host, and the tenant that each leads to.
//!
//! Of a channel token there is only its hash here, of an API key only its public id.

use sqlx::PgConnection;
use tenantry_types::{Alias as Name, AliasId, TenantId, Timestamp};
use uuid::Uuid;

use crate::CatalogError;
use crate::error::Row;

words! {
    /// What kind of name it is. Each kind has names of its own.
    pub enum Kind {
        /// An app of the product's.
        AppId = "appId",
        /// A store of the product's.
        StoreId = "storeId",
        /// An opaque token, kept as its hash.
        ChannelToken = "channelToken",
        /// The public part of an API key. Written by who makes keys and by nobody else.
        ApiKey = "apiKey",
    }
}

impl From<&Name> for Kind {
    fn from(name: &Name) -> Self {
        match name {
            Name::AppId(_) => Self::AppId,
            Name::StoreId(_) => Self::StoreId,
            Name::ChannelToken(_) => Self::ChannelToken,
            Name::ApiKey(_) => Self::ApiKey,
        }
    }
}

/// One alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Its id, by which a channel token is named without the token.
    pub id: AliasId,
    /// Its kind.
    pub kind: Kind,
    /// The name as it is stored.
    pub name: String,
    /// The tenant it leads to.
    pub tenant_id: TenantId,
    /// When it was written.
    pub created_at: Timestamp,
}

/// What [`put`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is written.
    Made(Alias),
    /// It led to this tenant already.
    There(Alias),
    /// It leads to another tenant, perhaps to a deleted one that was not purged yet.
    Taken,
}

/// Writes an alias, unless it is there.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn put(
    conn: &mut PgConnection,
    id: AliasId,
    tenant: TenantId,
    name: &Name,
) -> Result<Put, CatalogError> {
    let (kind, stored) = (Kind::from(name), name.stored());
    // An update that changes nothing: it waits for who is writing the same name, and returns the row.
    let row = sqlx::query_as!(
        AliasRow,
        "INSERT INTO aliases (kind, name, id, tenant_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, name) DO UPDATE SET kind = excluded.kind
         RETURNING id, kind, name, tenant_id, created_at",
        kind.as_str(),
        stored,
        id.as_uuid(),
        tenant.as_uuid(),
    )
    .fetch_one(conn)
    .await?;
    let alias = row.decode()?;
    Ok(match alias {
        alias if alias.tenant_id != tenant => Put::Taken,
        alias if alias.id == id => Put::Made(alias),
        alias => Put::There(alias),
    })
}

/// A tenant's aliases that operators write, by kind and age. API keys are not among them.
///
/// # Errors
/// When the catalog does not answer or a row is unusable.
pub async fn by_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<Alias>, CatalogError> {
    sqlx::query_as!(
        AliasRow,
        "SELECT id, kind, name, tenant_id, created_at FROM aliases
         WHERE tenant_id = $1 AND kind <> 'apiKey' ORDER BY kind, created_at, id",
        tenant.as_uuid(),
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(AliasRow::decode)
    .collect()
}

/// Removes a tenant's alias by its name and gives it.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn remove(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &Name,
) -> Result<Option<Alias>, CatalogError> {
    sqlx::query_as!(
        AliasRow,
        "DELETE FROM aliases WHERE tenant_id = $1 AND kind = $2 AND name = $3
         RETURNING id, kind, name, tenant_id, created_at",
        tenant.as_uuid(),
        Kind::from(name).as_str(),
        name.stored(),
    )
    .fetch_optional(conn)
    .await?
    .map(AliasRow::decode)
    .transpose()
}

/// Removes a tenant's alias by its id and gives it. An API key is not removed here.
///
/// # Errors
/// When the catalog does not answer or the row is unusable.
pub async fn remove_by_id(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: AliasId,
) -> Result<Option<Alias>, CatalogError> {
    sqlx::query_as!(
        AliasRow,
        "DELETE FROM aliases WHERE tenant_id = $1 AND id = $2 AND kind <> 'apiKey'
         RETURNING id, kind, name, tenant_id, created_at",
        tenant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(conn)
    .await?
    .map(AliasRow::decode)
    .transpose()
}

struct AliasRow {
    id: Uuid,
    kind: String,
    name: String,
    tenant_id: Uuid,
    created_at: Timestamp,
}

impl AliasRow {
    fn decode(self) -> Result<Alias, CatalogError> {
        let kind = Row::of("aliases", self.id).column("kind", self.kind.parse())?;
        Ok(Alias {
            id: self.id.into(),
            kind,
            name: self.name,
            tenant_id: self.tenant_id.into(),
            created_at: self.created_at,
        })
    }
}
