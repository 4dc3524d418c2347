//! What the making of a login answers, now or when its operation is read.

use serde::Serialize;
use tenantry_catalog::clusters::TlsMode;
use tenantry_catalog::temporary_logins::Role;
use tenantry_lifecycle::{Asker, Telling};
use tenantry_types::{OperationId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::words;
use crate::problem::Problem;
use crate::told::Told;

/// A new login to a tenant's database, and where that is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IssuedLogin)]
pub(crate) struct Answer {
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    #[schema(value_type = words::DatabaseName)]
    db_name: String,
    #[schema(value_type = words::HostName)]
    db_host: String,
    #[schema(value_type = words::Port)]
    db_port: u16,
    /// libpq's `sslmode`, as Tenantry itself connects.
    #[schema(value_type = words::ClusterTls)]
    ssl_mode: TlsMode,
    /// libpq's `sslrootcert`, as its text: the authority that the server's certificate is from. Absent where it is a
    /// public one, or none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::RootCa, required = false)]
    ssl_root_cert: Option<String>,
    #[schema(value_type = words::DatabaseName)]
    db_username: String,
    /// Gone once it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Secret, required = false)]
    db_password: Option<Told>,
    #[schema(value_type = words::LoginRole)]
    role: Role,
    /// How many sessions it may have.
    connections: u32,
    /// From then on it lets nobody in, and its sessions are ended, within seconds.
    #[schema(value_type = words::Timestamp)]
    expires_at: Timestamp,
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
}

/// The answer of a login's making that is done.
///
/// # Errors
/// `TENANT_NOT_FOUND` when the tenant is gone.
pub(crate) async fn answer(
    app: &App,
    operation: OperationId,
    telling: Telling,
    reader: Option<&Asker>,
) -> Result<Answer, Problem> {
    let made = app.lifecycle.made_login(operation, telling, reader).await?;
    Ok(Answer {
        tenant_id: made.tenant_id,
        db_name: made.db_name.as_str().to_owned(),
        db_host: made.db_host,
        db_port: made.db_port,
        ssl_mode: made.tls,
        ssl_root_cert: made.root_ca.map(|ca| ca.as_str().to_owned()),
        db_username: made.login.as_str().to_owned(),
        db_password: made.password.map(Told),
        role: made.role,
        connections: made.connections,
        expires_at: made.expires_at,
        operation_id: operation,
    })
}
