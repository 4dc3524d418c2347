//! What an issue of credentials answers, now or when its operation is read.

use serde::Serialize;
use tenantry_lifecycle::{Asker, Telling};
use tenantry_types::{OperationId, TenantId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::words;
use crate::problem::Problem;
use crate::told::Told;

/// The product's new login to a tenant's database.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IssuedCredentials)]
pub(crate) struct Answer {
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    #[schema(value_type = words::DatabaseName)]
    db_name: String,
    #[schema(value_type = words::HostName)]
    db_host: String,
    #[schema(value_type = words::Port)]
    db_port: u16,
    #[schema(value_type = words::DatabaseName)]
    db_username: String,
    /// Gone once it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Secret, required = false)]
    db_password: Option<Told>,
    /// The login before this one.
    #[schema(value_type = words::DatabaseName)]
    previous_username: String,
    /// From then on it lets nobody in, and its sessions are ended, within seconds.
    #[schema(value_type = words::Timestamp)]
    previous_valid_until: Timestamp,
    #[schema(value_type = words::OperationId)]
    operation_id: OperationId,
}

/// The answer of an issue that is done.
///
/// # Errors
/// `TENANT_NOT_FOUND` when the tenant is gone.
pub(crate) async fn answer(
    app: &App,
    operation: OperationId,
    telling: Telling,
    reader: Option<&Asker>,
) -> Result<Answer, Problem> {
    let issued = app.lifecycle.issued(operation, telling, reader).await?;
    Ok(Answer {
        tenant_id: issued.tenant_id,
        db_name: issued.db_name.as_str().to_owned(),
        db_host: issued.db_host,
        db_port: issued.db_port,
        db_username: issued.db_username.as_str().to_owned(),
        db_password: issued.db_password.map(Told),
        previous_username: issued.previous_username.as_str().to_owned(),
        previous_valid_until: issued.previous_valid_until,
        operation_id: operation,
    })
}
