//! Postgres servers that hold tenants' databases.

pub(crate) mod list;
pub(crate) mod update;

use serde::Serialize;
use tenantry_catalog::clusters::Cluster;
use tenantry_catalog::shares::Taken;
use tenantry_types::{ClusterId, Timestamp};
use utoipa::ToSchema;

use crate::openapi::words;

/// A Postgres server that holds tenants' databases.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
pub(crate) struct View {
    #[schema(value_type = words::ClusterId)]
    cluster_id: ClusterId,
    #[schema(value_type = words::ClusterName)]
    name: String,
    #[schema(value_type = words::HostName)]
    host: String,
    #[schema(value_type = words::Port)]
    port: u16,
    /// How many connections may be open there, over all tenants and routers.
    #[schema(example = 100)]
    connection_budget: u32,
    /// How many are open, over all routers, as they said with the last renewal of their leases.
    #[schema(example = 12)]
    open: u32,
    /// How many requests wait for a connection, over all routers.
    #[schema(example = 0)]
    waiting: u32,
    #[schema(value_type = words::Timestamp)]
    created_at: Timestamp,
}

impl View {
    fn new(cluster: Cluster, taken: &[(ClusterId, Taken)]) -> Self {
        let taken = taken.iter().find(|(id, _)| *id == cluster.id);
        let taken = taken.map(|(_, taken)| *taken).unwrap_or_default();
        Self {
            cluster_id: cluster.id,
            name: cluster.name,
            host: cluster.host,
            port: cluster.port,
            connection_budget: cluster.connection_budget,
            open: taken.open,
            waiting: taken.waiting,
            created_at: cluster.created_at,
        }
    }
}
