//! What a creation answers, now or when its operation is read.

use serde::Serialize;
use tenantry_catalog::tenants::Status;
use tenantry_catalog::{clusters, domain_claims};
use tenantry_lifecycle::{Asker, Telling};
use tenantry_types::{OperationId, TenantId};
use utoipa::ToSchema;

use super::domains::View as Domain;
use super::view::primary_domain;
use crate::app::App;
use crate::openapi::words;
use crate::problem::Problem;
use crate::told::Told;

/// A new tenant and the way into its database.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreatedTenant)]
pub(crate) struct Answer {
    #[schema(value_type = words::TenantId)]
    pub(crate) tenant_id: TenantId,
    #[schema(value_type = words::Slug)]
    slug: String,
    #[schema(value_type = words::TenantStatus)]
    status: Status,
    #[schema(value_type = words::Url)]
    url: String,
    /// The domain of its own that was asked for, with the record that proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    domain: Option<Domain>,
    #[schema(value_type = Option<words::DatabaseName>, required)]
    db_name: Option<String>,
    #[schema(value_type = Option<words::HostName>, required)]
    db_host: Option<String>,
    #[schema(value_type = Option<words::Port>, required)]
    db_port: Option<u16>,
    /// The login that was made for your product.
    #[schema(value_type = words::DatabaseName)]
    db_username: String,
    /// Gone once it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Secret, required = false)]
    db_password: Option<Told>,
    /// Only where we made it, and gone once it was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Secret, required = false)]
    admin_password: Option<Told>,
    #[schema(value_type = words::OperationId)]
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
    reader: Option<&Asker>,
) -> Result<Answer, Problem> {
    // Before the secrets, some of which are told once: nothing may fail after them. And given back
    // before them, since they need a connection of their own.
    let mut conn = app.catalog().await?;
    let clusters = clusters::list(&mut conn).await?;
    let claim = domain_claims::of_creation(&mut conn, operation).await?;
    drop(conn);
    let created = app.lifecycle.created(operation, telling, reader).await?;
    let tenant = created.tenant;
    let cluster = clusters
        .iter()
        .find(|cluster| cluster.id == tenant.cluster_id);
    Ok(Answer {
        tenant_id: tenant.id,
        status: tenant.status,
        url: app.config.url_of(&primary_domain(&tenant)),
        domain: claim.map(|claim| Domain::of_claim(claim, &app.config)),
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
