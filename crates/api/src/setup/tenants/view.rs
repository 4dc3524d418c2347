//! A tenant as the control plane tells it.

use serde::Serialize;
use serde_json::Value;
use tenantry_catalog::tenants::{Status, Tenant};
use tenantry_types::{TenantId, Timestamp};

use crate::config::ApiConfig;

/// A tenant. `schema` says whether its database has this program's migrations.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    tenant_id: TenantId,
    slug: String,
    name: String,
    plan: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    url: String,
    primary_domain: String,
    cluster: String,
    db_name: Option<String>,
    schema: Option<&'static str>,
    metadata: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    purge_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl View {
    pub(crate) fn new(tenant: Tenant, config: &ApiConfig) -> Self {
        let primary_domain = primary_domain(&tenant);
        let current = tenantry_tenantdb::schema_digest();
        let schema = tenant
            .schema
            .as_deref()
            .map(|schema| match schema == current {
                true => "current",
                false => "behind",
            });
        Self {
            tenant_id: tenant.id,
            name: tenant.name,
            plan: tenant.plan.as_str().to_owned(),
            status: tenant.status,
            status_reason: tenant.status_reason,
            url: config.url_of(&primary_domain),
            cluster: tenant.cluster_name,
            db_name: tenant.db_name.map(|name| name.as_str().to_owned()),
            schema,
            metadata: tenant.metadata,
            purge_at: tenant.purge_at,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
            slug: tenant.slug.as_str().to_owned(),
            primary_domain,
        }
    }
}

/// Where a tenant has no domain of its own, its slug leads to it.
pub(super) fn primary_domain(tenant: &Tenant) -> String {
    let domain = tenant.primary_domain.clone();
    domain.unwrap_or_else(|| tenant.slug.as_str().to_owned())
}
