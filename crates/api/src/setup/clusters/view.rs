//! A cluster as it is told, and what was seen of its server.

use serde::Serialize;
use tenantry_catalog::clusters::{self, Cluster, TlsMode};
use tenantry_catalog::shares::{self, Taken};
use tenantry_lifecycle::Look;
use tenantry_types::{ClusterId, Timestamp};
use utoipa::ToSchema;

use crate::app::App;
use crate::openapi::words;
use crate::problem::Problem;

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
    #[schema(value_type = words::ClusterTls)]
    tls: TlsMode,
    /// The authority of its certificate in PEM, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::RootCa, required = false)]
    root_ca: Option<String>,
    #[schema(value_type = words::ClusterState)]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::Region, required = false)]
    region: Option<String>,
    /// Its share of the tenants that ask for no cluster; 0: none.
    #[schema(example = 100)]
    weight: u32,
    /// How many tenants it may hold; absent: as many as come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 500, required = false)]
    capacity: Option<u32>,
    /// How many tenants it holds, those in their grace period included.
    #[schema(example = 42)]
    tenants: u32,
    /// How many databases wait there for a tenant.
    #[schema(example = 2)]
    spares: u32,
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
    /// Clusters with what they hold now.
    pub(super) async fn all(app: &App, of: Vec<Cluster>) -> Result<Vec<Self>, Problem> {
        let mut conn = app.catalog().await?;
        let taken = shares::taken(&mut conn).await?;
        let held = clusters::held(&mut conn).await?;
        let views = of.into_iter().map(|cluster| {
            let held = held.get(&cluster.id).copied().unwrap_or_default();
            Self::new(cluster, &taken, held)
        });
        Ok(views.collect())
    }

    /// One of them.
    pub(super) async fn one(app: &App, cluster: Cluster) -> Result<Self, Problem> {
        let mut views = Self::all(app, vec![cluster]).await?;
        views
            .pop()
            .ok_or_else(|| Problem::not_found("CLUSTER_NOT_FOUND"))
    }

    fn new(cluster: Cluster, taken: &[(ClusterId, Taken)], held: clusters::Held) -> Self {
        let taken = taken.iter().find(|(id, _)| *id == cluster.id);
        let taken = taken.map(|(_, taken)| *taken).unwrap_or_default();
        Self {
            cluster_id: cluster.id,
            name: cluster.name,
            host: cluster.host,
            port: cluster.port,
            tls: cluster.tls,
            root_ca: cluster.root_ca.map(|ca| ca.as_str().to_owned()),
            status: if cluster.accepts { "open" } else { "draining" },
            region: cluster.placement.region,
            weight: cluster.placement.weight,
            capacity: cluster.placement.capacity,
            tenants: held.tenants,
            spares: held.spares,
            connection_budget: cluster.connection_budget,
            open: taken.open,
            waiting: taken.waiting,
            created_at: cluster.created_at,
        }
    }
}

/// What was seen of a server that is fit to be a cluster.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterPreflight)]
pub(crate) struct Preflight {
    /// Its version, as it says it.
    #[schema(example = "17.5")]
    version: String,
    /// Its `max_connections`.
    #[schema(example = 300)]
    max_connections: u32,
    /// The largest budget that leaves room for admin work and migrations.
    #[schema(example = 223)]
    largest_budget: u32,
    /// Whether it speaks TLS at all.
    offers_tls: bool,
    /// The version of TLS that was spoken; absent: it was asked in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "TLSv1.3", required = false)]
    tls_version: Option<String>,
    /// What you should know or change: sentences.
    warnings: Vec<String>,
}

impl From<Look> for Preflight {
    fn from(look: Look) -> Self {
        Self {
            version: look.version,
            max_connections: look.max_connections,
            largest_budget: look.room.largest_budget(),
            offers_tls: look.offers_tls,
            tls_version: look.tls_version,
            warnings: look.warnings,
        }
    }
}
