//! A tenant as the control plane tells it.

use serde::Serialize;
use serde_json::Value;
use tenantry_catalog::tenants::{Status, Tenant};
use tenantry_types::{TenantId, Timestamp};
use utoipa::ToSchema;

use crate::config::ApiConfig;
use crate::openapi::words;

/// A tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Tenant)]
pub(crate) struct View {
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    #[schema(value_type = words::Slug)]
    slug: String,
    #[schema(value_type = words::TenantName)]
    name: String,
    #[schema(value_type = words::Plan)]
    plan: String,
    #[schema(value_type = words::TenantStatus)]
    status: Status,
    /// Why it is in this state, where there is something to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status_reason: Option<String>,
    #[schema(value_type = words::Url)]
    url: String,
    #[schema(value_type = words::PrimaryDomain)]
    primary_domain: String,
    #[schema(value_type = words::ClusterName)]
    cluster: String,
    /// Its database; none before it is made and after it is purged.
    #[schema(value_type = Option<words::DatabaseName>, required)]
    db_name: Option<String>,
    /// Whether its database has this program's migrations.
    #[schema(required)]
    schema: Option<Schema>,
    #[schema(value_type = words::Metadata)]
    metadata: Value,
    /// Limits of this tenant's own.
    limits: Limits,
    /// Since when it has been suspended, also while it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    suspended_at: Option<Timestamp>,
    /// When a deleted tenant is gone for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Timestamp, required = false)]
    purge_at: Option<Timestamp>,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
    #[schema(value_type = words::Timestamp)]
    updated_at: Timestamp,
}

/// Limits of a tenant's own.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TenantLimits)]
pub(crate) struct Limits {
    /// How many connections each router may hold for it; `null`: what its plan says.
    #[schema(required, minimum = 1, maximum = 10_000)]
    max_connections: Option<u32>,
}

/// How a database's migrations compare with this program's.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TenantSchema)]
enum Schema {
    Current,
    Behind,
}

impl View {
    pub(crate) fn new(tenant: Tenant, config: &ApiConfig) -> Self {
        let primary_domain = primary_domain(&tenant);
        let current = tenantry_tenantdb::schema_digest();
        let schema = tenant
            .schema
            .as_deref()
            .map(|schema| match schema == current {
                true => Schema::Current,
                false => Schema::Behind,
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
            limits: Limits {
                max_connections: tenant.max_connections,
            },
            suspended_at: tenant.suspended_at,
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
