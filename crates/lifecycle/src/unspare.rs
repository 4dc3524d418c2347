//! Unmaking a spare of a cluster that takes no new tenants any more.
//!
//! From the first transaction on nobody gets it; then its database and logins are dropped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenantry_catalog::clusters::Cluster;
use tenantry_catalog::databases::{self, Database};
use tenantry_catalog::operations::{self, Operation};
use tenantry_cluster::names;
use tenantry_types::{ClusterId, DatabaseId, OperationId};

use crate::Lifecycle;
use crate::asker::Asker;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError};
use crate::error::StartError;
use crate::making::{Known, Making};
use crate::place::{self, Durability, Session};

/// The names of the steps, in order.
pub const STEPS: &[&str] = &["drop"];

/// The operation `unspare`.
pub struct Unspare {
    life: Lifecycle,
    lease: Arc<Lease>,
    params: Params,
    session: Session,
    known: Known,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    cluster_id: ClusterId,
    database_id: DatabaseId,
}

impl Kind for Unspare {
    const NAME: &'static str = "unspare";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Unspare>] = &[Step {
            name: "drop",
            run: |work| Box::pin(drop_database(work)),
            undo: None,
        }];
        STEPS
    }
}

impl Unspare {
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        let params: Params = crate::worker::params(operation)?;
        let mut conn = life.deps().catalog.acquire().await?;
        let cluster = place::cluster(&mut conn, params.cluster_id).await?;
        Ok(Self {
            life: life.clone(),
            params,
            session: Session::resumed(life, cluster, lease.clone(), Durability::Each),
            known: Known::default(),
            lease,
        })
    }
}

async fn drop_database(work: &Unspare) -> Result<(), StepError> {
    let database = work.params.database_id;
    let making = Making {
        life: &work.life,
        lease: &work.lease,
        session: &work.session,
        cluster: work.params.cluster_id,
        database,
        bases: vec![names::spare(database)],
        known: &work.known,
    };
    making.discard().await
}

impl Lifecycle {
    /// Unmakes a spare and waits for it. `false`: somebody else took or unmakes it, or it goes on later.
    pub(crate) async fn unmake_spare(
        &self,
        cluster: &Cluster,
        spare: &Database,
    ) -> Result<bool, StartError> {
        let deps = self.deps();
        let id = OperationId::generate(&deps.clock, &deps.entropy);
        // Reached first: one that is away keeps its spares, and the journal is not filled meanwhile.
        let session = Session::first(self, cluster, id, Durability::Each).await?;
        let params = Params {
            cluster_id: cluster.id,
            database_id: spare.id,
        };
        let mut tx = deps.catalog.begin().await?;
        if !databases::unstock(&mut tx, spare.id, id).await? {
            return Ok(false);
        }
        let asker = Asker::product("a cluster is drained");
        let fence = self
            .record::<Unspare>(&mut tx, id, None, &params, &asker)
            .await?;
        tx.commit().await?;
        let lease = self.lease(id, fence);
        let work = Unspare {
            life: self.clone(),
            params,
            session: session.under(lease.clone()),
            known: Known::newborn(None),
            lease: lease.clone(),
        };
        self.drive_newborn(&lease, work).await;
        let mut conn = deps.catalog.acquire().await?;
        let ended = operations::by_id(&mut conn, id).await?;
        Ok(ended.is_some_and(|operation| operation.status == operations::Status::Done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_list_names_the_steps() {
        let names: Vec<_> = Unspare::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
    }
}
