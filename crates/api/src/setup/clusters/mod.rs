//! Postgres servers that hold tenants' databases.

pub(crate) mod accept;
pub(crate) mod create;
pub(crate) mod drain;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod request;
pub(crate) mod show;
pub(crate) mod update;
mod view;

use tenantry_catalog::clusters::{self, Cluster};
pub(crate) use view::{Preflight, View};

use crate::app::App;
use crate::context::ClusterRef;
use crate::problem::Problem;

/// The cluster that a path names.
async fn find(app: &App, cluster: &ClusterRef) -> Result<Cluster, Problem> {
    let mut conn = app.catalog().await?;
    let found = match cluster {
        ClusterRef::Id(id) => clusters::by_id(&mut conn, *id).await?,
        ClusterRef::Name(name) => clusters::by_name(&mut conn, name).await?,
    };
    found.ok_or_else(|| Problem::not_found("CLUSTER_NOT_FOUND"))
}
