//! What a cluster's server has room for, asked before its budget is changed.

use std::time::Duration;

use tenantry_catalog::clusters::Cluster;
use tenantry_cluster::preflight::{self, Room};
use tokio::time::timeout;

use crate::Lifecycle;
use crate::engine::chain_of;
use crate::error::StartError;
use crate::place;

/// How long it may take: somebody waits for it, who may want to change something because the server is ill.
const BOUND: Duration = Duration::from_secs(2);

impl Lifecycle {
    /// How many connections a cluster's server has. None: it cannot be asked just now, which the log tells.
    pub async fn room_on(&self, cluster: &Cluster) -> Option<Room> {
        match timeout(BOUND, self.ask_for_room(cluster)).await {
            Ok(Ok(room)) => return Some(room),
            Ok(Err(error)) => {
                tracing::warn!(cluster = cluster.name, error = %chain_of(&error), "{UNKNOWN}");
            }
            Err(_) => tracing::warn!(cluster = cluster.name, after = ?BOUND, "{UNKNOWN}"),
        }
        None
    }

    async fn ask_for_room(&self, cluster: &Cluster) -> Result<Room, StartError> {
        let admin = place::admin_of(self.deps(), cluster)?;
        let mut conn = admin.connect("tenantry/room").await?;
        let room = preflight::room(&mut conn).await;
        conn.close().await;
        Ok(room?)
    }
}

const UNKNOWN: &str =
    "whether the server has room for the budget is not known: it could not be asked";
