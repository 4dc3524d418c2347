//! `/setup/tenants/{tenant}/logins`: logins of people and tools to a tenant's database, each with an end.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod made;

use serde::Serialize;
use tenantry_catalog::temporary_logins::{Role, TemporaryLogin};
use tenantry_types::Timestamp;
use utoipa::ToSchema;

use crate::openapi::words;

/// A login for a time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TemporaryLogin)]
pub(crate) struct View {
    #[schema(value_type = words::DatabaseName)]
    db_username: String,
    #[schema(value_type = words::LoginRole)]
    role: Role,
    /// How many sessions it may have.
    connections: u32,
    /// Who asked for it.
    asked_by: String,
    /// What for, if that was said.
    reason: Option<String>,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
    /// From then on it lets nobody in, and its sessions are ended, within seconds.
    #[schema(value_type = words::Timestamp)]
    expires_at: Timestamp,
}

impl From<TemporaryLogin> for View {
    fn from(login: TemporaryLogin) -> Self {
        Self {
            db_username: login.name.as_str().to_owned(),
            role: login.role,
            connections: login.connections,
            asked_by: login.asked_by,
            reason: login.reason,
            created_at: login.created_at,
            expires_at: login.expires_at,
        }
    }
}
