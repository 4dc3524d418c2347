//! Spares: complete databases made ahead, so that a sign-up need not wait for a clone.
//!
//! A worker in each process keeps the wanted number on each cluster. Which spare a tenant gets is
//! decided in the transaction that makes the tenant ([`tenantry_catalog::databases::take_spare`]).

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tenantry_catalog::clusters::{self, Cluster};
use tenantry_catalog::databases::{self, State};
use tenantry_catalog::operations::{self, Operation, Status};
use tenantry_catalog::tenants;
use tenantry_cluster::names;
use tenantry_tenantdb::schema_digest;
use tenantry_types::{ClusterId, DatabaseId, OperationId};
use tokio::sync::Mutex;

use crate::Lifecycle;
use crate::asker::Asker;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError, chain_of};
use crate::error::StartError;
use crate::making::{Known, Making, Origin};
use crate::place::{self, Durability, Session};

/// How often the stock is looked at when nobody took from it.
const EVERY: Duration = Duration::from_secs(5);
/// Over how long the demand for spares is counted.
const LATELY: TimeDelta = TimeDelta::minutes(1);
/// The longest pause after spares could not be made.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The names of the steps, in order.
pub const STEPS: &[&str] = &["template", "clone", "grant", "identity", "stock"];

/// The operation `spare`.
pub struct Spare {
    life: Lifecycle,
    lease: Arc<Lease>,
    params: Mutex<Params>,
    session: Session,
    known: Known,
}

/// What the catalog keeps of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    cluster_id: ClusterId,
    database_id: DatabaseId,
    template: Option<Origin>,
}

impl Kind for Spare {
    const NAME: &'static str = "spare";
    const ON_FAILURE: OnFailure = OnFailure::Undo;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<Spare>] = &[
            Step {
                name: "template",
                run: |work| Box::pin(template(work)),
                undo: None,
            },
            Step {
                name: "clone",
                run: |work| Box::pin(clone(work)),
                undo: Some(|work| Box::pin(discard(work))),
            },
            Step {
                name: "grant",
                run: |work| Box::pin(grant(work)),
                undo: None,
            },
            Step {
                name: "identity",
                run: |work| Box::pin(identity(work)),
                undo: None,
            },
            Step {
                name: "stock",
                run: |work| Box::pin(stock(work)),
                undo: None,
            },
        ];
        STEPS
    }
}

impl Spare {
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
            params: Mutex::new(params),
            session: Session::resumed(life, cluster, lease.clone(), Durability::Last),
            known: Known::default(),
            lease,
        })
    }

    fn making(&self, params: &Params) -> Making<'_> {
        Making {
            life: &self.life,
            lease: &self.lease,
            session: &self.session,
            cluster: params.cluster_id,
            database: params.database_id,
            bases: vec![names::spare(params.database_id)],
            known: &self.known,
        }
    }

    async fn origin(&self) -> Result<(Params, Origin), StepError> {
        let params = self.params.lock().await.clone();
        let origin = params.template.clone();
        origin
            .map(|origin| (params, origin))
            .ok_or_else(|| place::missing("The operation chose no template."))
    }
}

async fn template(work: &Spare) -> Result<(), StepError> {
    let mut params = work.params.lock().await;
    params.template = Some(work.making(&params).template().await?);
    let value = serde_json::to_value(&*params).unwrap_or_default();
    let mut conn = work.life.deps().catalog.acquire().await?;
    let (id, fence) = (work.lease.operation(), work.lease.fence());
    if operations::set_params(&mut conn, id, fence, &value).await? {
        Ok(())
    } else {
        Err(StepError::Interrupted(None))
    }
}

async fn clone(work: &Spare) -> Result<(), StepError> {
    let (params, origin) = work.origin().await?;
    work.making(&params).clone(&origin).await
}

async fn grant(work: &Spare) -> Result<(), StepError> {
    let (params, _) = work.origin().await?;
    work.making(&params).grant().await
}

/// The session is gone when this returns: the rename for a tenant waits for whoever is in the database.
async fn identity(work: &Spare) -> Result<(), StepError> {
    let (params, origin) = work.origin().await?;
    let name = names::spare(params.database_id);
    let inside = work.making(&params).write_identity(&name, &origin).await?;
    inside.end().await;
    Ok(())
}

/// From here on it can be taken. Once more is fine: a tenant may have it by then, and a new name.
async fn stock(work: &Spare) -> Result<(), StepError> {
    let params = work.params.lock().await.clone();
    let mut conn = work.life.deps().catalog.acquire().await?;
    let row = databases::by_id(&mut conn, params.database_id).await?;
    drop(conn);
    if row.is_none_or(|row| row.state != State::Making) {
        return Ok(());
    }
    let mark = work.making(&params).mark();
    let name = names::spare(params.database_id);
    {
        let mut admin = work.session.admin().await?;
        tenantry_cluster::databases::settle(&mut admin, &name, &mark)
            .await
            .map_err(place::cluster_failure)?;
    }
    let mut tx = work.life.deps().catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    databases::put_by(&mut tx, params.database_id).await?;
    tx.commit().await?;
    Ok(())
}

async fn discard(work: &Spare) -> Result<(), StepError> {
    let params = work.params.lock().await.clone();
    let mut tx = work.life.deps().catalog.begin().await?;
    crate::worker::guard(&mut tx, &work.lease).await?;
    let ours = databases::take_back(&mut tx, params.database_id).await?;
    tx.commit().await?;
    if !ours {
        return Ok(());
    }
    work.making(&params).discard().await
}

/// Keeps the stock until the program stops.
pub(crate) async fn run(life: Lifecycle) {
    let mut pause = EVERY;
    loop {
        pause = match fill(&life).await {
            Ok(true) => EVERY,
            Ok(false) => (pause * 2).min(LONGEST_PAUSE),
            Err(error) => {
                tracing::debug!(%error, "could not look at the stock of spares");
                EVERY
            }
        };
        tokio::select! {
            () = life.0.stopping.cancelled() => return,
            () = life.0.spare_taken.notified(), if pause == EVERY => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether every cluster has its spares now.
async fn fill(life: &Lifecycle) -> Result<bool, StartError> {
    let Some(_at_work) = life.at_work("spares") else {
        return Ok(true);
    };
    let mut conn = life.deps().catalog.acquire().await?;
    let clusters = clusters::list(&mut conn).await?;
    drop(conn);
    // A cluster that is away must not keep the others without spares.
    let mut filled = true;
    for cluster in clusters {
        if !cluster.accepts {
            filled &= empty(life, &cluster).await;
            continue;
        }
        let wanted = wanted(life, &cluster).await?;
        while !life.0.stopping.is_cancelled() && life.0.gate.is_open() {
            match life.make_spare(&cluster, wanted).await {
                Ok(Outcome::Made) => {}
                Ok(Outcome::Enough) => break,
                Ok(Outcome::Unfinished(operation)) => {
                    tracing::warn!(%operation, cluster = cluster.name, "a spare could not be made");
                    filled = false;
                    break;
                }
                Err(error) => {
                    tracing::warn!(cluster = cluster.name, code = error.code(), error = %chain_of(&error),
                        "a spare could not be begun");
                    filled = false;
                    break;
                }
            }
        }
    }
    Ok(filled)
}

/// How many spares a cluster is to have: as many as were taken lately, within what is set. Those that are
/// left when fewer tenants come wait for the next ones.
async fn wanted(life: &Lifecycle, cluster: &Cluster) -> Result<usize, StartError> {
    let settings = &life.deps().settings;
    let (least, most) = (settings.spares, settings.spares_max);
    if least == 0 || least >= most {
        return Ok(least);
    }
    let since = life.deps().clock.now() - LATELY;
    let mut conn = life.deps().catalog.acquire().await?;
    let lately = tenants::born_since(&mut conn, cluster.id, since).await?;
    Ok(lately.clamp(least, most))
}

/// Unmakes the spares of a cluster that takes no new tenants. Whether that is done.
async fn empty(life: &Lifecycle, cluster: &Cluster) -> bool {
    let spares = async {
        let mut conn = life.deps().catalog.acquire().await?;
        Ok::<_, StartError>(databases::spares(&mut conn, cluster.id).await?)
    };
    let unmade = async {
        for spare in spares.await? {
            if life.0.stopping.is_cancelled()
                || !life.0.gate.is_open()
                || !life.unmake_spare(cluster, &spare).await?
            {
                return Ok(false);
            }
        }
        Ok::<_, StartError>(true)
    };
    unmade.await.unwrap_or_else(|error| {
        tracing::warn!(cluster = cluster.name, code = error.code(), error = %chain_of(&error),
            "the spares of a cluster that is drained could not be unmade; trying again");
        false
    })
}

/// What came of one look at the stock.
enum Outcome {
    /// There are as many as wanted.
    Enough,
    /// One more is there.
    Made,
    /// It failed, or goes on later; its journal says why.
    Unfinished(OperationId),
}

impl Lifecycle {
    /// Makes one more spare if there are fewer than wanted, and waits for it.
    async fn make_spare(&self, cluster: &Cluster, wanted: usize) -> Result<Outcome, StartError> {
        let deps = self.deps();
        let mut conn = deps.catalog.acquire().await?;
        let wanted = wanted.min(places(&mut conn, cluster).await?);
        if wanted == 0 || databases::stock(&mut conn, cluster.id, schema_digest()).await? >= wanted
        {
            return Ok(Outcome::Enough);
        }
        drop(conn);
        let id = OperationId::generate(&deps.clock, &deps.entropy);
        let session = Session::first(self, cluster, id, Durability::Last).await?;
        let params = Params {
            cluster_id: cluster.id,
            database_id: DatabaseId::generate(&deps.clock, &deps.entropy),
            template: None,
        };
        let mut tx = deps.catalog.begin().await?;
        // Looked at once more under the lock: of several processes one makes the last missing one.
        operations::lock_fleet_kind(&mut tx, Spare::NAME).await?;
        let accepts = clusters::by_id(&mut tx, cluster.id).await?;
        if !accepts.is_some_and(|cluster| cluster.accepts) {
            return Ok(Outcome::Enough);
        }
        if databases::stock(&mut tx, cluster.id, schema_digest()).await? >= wanted {
            return Ok(Outcome::Enough);
        }
        let asker = Asker::product("spares are kept ready");
        let fence = self
            .record::<Spare>(&mut tx, id, None, &params, &asker)
            .await?;
        tx.commit().await?;
        let lease = self.lease(id, fence);
        let work = Spare {
            life: self.clone(),
            params: Mutex::new(params),
            session: session.under(lease.clone()),
            known: Known::newborn(None),
            lease: lease.clone(),
        };
        self.drive_newborn(&lease, work).await;
        let mut conn = deps.catalog.acquire().await?;
        let ended = operations::by_id(&mut conn, id).await?;
        Ok(match ended.map(|operation| operation.status) {
            Some(Status::Done) => Outcome::Made,
            _ => Outcome::Unfinished(id),
        })
    }
}

/// How many tenants a cluster has places for: spares beyond that would wait for nobody.
async fn places(conn: &mut PgConnection, cluster: &Cluster) -> Result<usize, StartError> {
    let Some(capacity) = cluster.placement.capacity else {
        return Ok(usize::MAX);
    };
    let tenants = clusters::tenants(conn, cluster.id).await?;
    Ok(usize::try_from(capacity.saturating_sub(tenants)).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_list_names_the_steps() {
        let names: Vec<_> = Spare::steps().iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
    }
}
