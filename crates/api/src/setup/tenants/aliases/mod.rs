//! `/setup/tenants/{tenant}/aliases`: names of a tenant that requests carry in a header.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod put;

use serde::Serialize;
use tenantry_catalog::aliases::{Alias, Kind};
use tenantry_types::{AliasId, Timestamp};
use utoipa::ToSchema;

use crate::openapi::words;
use crate::told::Told;

/// A name that leads to a tenant. A channel token is named by its `aliasId`: of the token itself only a
/// hash is kept.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Alias)]
pub(crate) struct View {
    #[schema(value_type = words::AliasId)]
    alias_id: AliasId,
    #[schema(value_type = words::AliasKind)]
    kind: Kind,
    /// Not of a channel token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::AliasValue, required = false)]
    value: Option<String>,
    /// A channel token that we made, told here and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Secret, required = false)]
    token: Option<Told>,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
}

impl View {
    fn new(alias: Alias, token: Option<Told>) -> Self {
        let shown = alias.kind != Kind::ChannelToken;
        Self {
            alias_id: alias.id,
            kind: alias.kind,
            value: shown.then_some(alias.name),
            token,
            created_at: alias.created_at,
        }
    }
}
