//! What a creation answers, now or when its operation is read.

use serde::Serialize;
use tenantry_catalog::clusters;
use tenantry_catalog::tenants::Status;
use tenantry_lifecycle::Telling;
use tenantry_types::{OperationId, TenantId};

use super::view::primary_domain;
use crate::app::App;
use crate::problem::Problem;
use crate::told::Told;

/// A new tenant and the way into its database.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) tenant_id: TenantId,
    slug: String,
    status: Status,
    url: String,
    db_name: Option<String>,
    db_host: Option<String>,
    db_port: Option<u16>,
    db_username: String,
    /// Gone once it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    db_password: Option<Told>,
    /// Only where we made it, and gone once it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_password: Option<Told>,
    operation_id: OperationId,
}

/// The answer of a creation that is done.
///
/// # Errors
/// `TENANT_NOT_FOUND` when the tenant is gone again.
pub(crate) async fn answer(
    app: &App,
    operation: OperationId,
    telling: Telling,
) -> Result<Answer, Problem> {
    // Before the secrets, some of which are told once: nothing may fail after them. And given back
    // before them, since they need a connection of their own.
    let clusters = clusters::list(&mut *app.catalog().await?).await?;
    let created = app.lifecycle.created(operation, telling).await?;
    let tenant = created.tenant;
    let cluster = clusters
        .iter()
        .find(|cluster| cluster.id == tenant.cluster_id);
    Ok(Answer {
        tenant_id: tenant.id,
        status: tenant.status,
        url: app.config.url_of(&primary_domain(&tenant)),
        db_name: tenant.db_name.as_ref().map(|name| name.as_str().to_owned()),
        db_host: cluster.map(|cluster| cluster.host.clone()),
        db_port: cluster.map(|cluster| cluster.port),
        db_username: created.db_username,
        db_password: created.db_password.map(Told),
        admin_password: created.admin_password.map(Told),
        operation_id: operation,
        slug: tenant.slug.as_str().to_owned(),
    })
}
