//! `rotate-all`: the router logins of all tenants, one after another, a few at a time.
//!
//! Each tenant's rotation is an operation of its own, which goes on whatever becomes of this one. Taken
//! up again, this one goes on with the tenants whose login is still older than itself. A tenant that
//! fails is written down and stops nobody else.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_catalog::logins::{self, OfTenant};
use tenantry_catalog::operations::{self, Operation};
use tenantry_catalog::tenants::{Status, TenantRef};
use tenantry_types::{OperationId, TenantId, Timestamp};
use tokio::sync::{Mutex, watch};
use tokio::time::MissedTickBehavior;

use crate::asker::Asker;
use crate::engine::{Kind, Lease, OnFailure, Step, StepError, chain_of};
use crate::error::StartError;
use crate::migrate::PROGRESS;
use crate::rotate::Rotate;
use crate::wait::{Finished, WaitError};
use crate::{Lifecycle, Started};

/// How often it is written down how far it has come.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// The most tenants of one scheduled run; the next takes the others.
const SCHEDULED: u32 = 10_000;
/// How long one tenant is waited for at a time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The operation `rotate-all`.
pub struct RotateAll {
    life: Lifecycle,
    lease: Arc<Lease>,
    params: Params,
    begun_at: Timestamp,
    report: Mutex<Vec<Item>>,
}

/// What it keeps of its request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    /// Over how long the tenants are spread, in milliseconds.
    jitter_ms: u64,
    /// Those whose login is as old as this, in seconds; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    every_secs: Option<f64>,
}

/// What happened to one tenant.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    tenant_id: TenantId,
    slug: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<OperationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Rotated,
    Failed,
    Skipped,
}

/// How far it has come, for those who watch.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    total: usize,
    done: usize,
    rotated: usize,
    failed: usize,
    skipped: usize,
}

impl Progress {
    fn count(&mut self, outcome: Outcome) {
        self.done += 1;
        *match outcome {
            Outcome::Rotated => &mut self.rotated,
            Outcome::Failed => &mut self.failed,
            Outcome::Skipped => &mut self.skipped,
        } += 1;
    }
}

impl Kind for RotateAll {
    const NAME: &'static str = "rotate-all";
    const ON_FAILURE: OnFailure = OnFailure::Retry;

    fn steps() -> &'static [Step<Self>] {
        static STEPS: &[Step<RotateAll>] = &[Step {
            name: "tenants",
            run: |work| Box::pin(tenants(work)),
            undo: None,
        }];
        STEPS
    }

    fn result(&self) -> serde_json::Value {
        let Ok(items) = self.report.try_lock() else {
            return json!({});
        };
        let count = |outcome| items.iter().filter(|item| item.outcome == outcome).count();
        json!({
            "total": items.len(),
            "rotated": count(Outcome::Rotated),
            "failed": count(Outcome::Failed),
            "skipped": count(Outcome::Skipped),
            "items": *items,
        })
    }
}

impl Lifecycle {
    /// Begins to rotate the router logins of all tenants, each at a moment of its own within `jitter`.
    ///
    /// # Errors
    /// [`StartError::InProgress`] when that is going on already.
    pub async fn rotate_all(&self, jitter: Duration, asker: Asker) -> Result<Started, StartError> {
        self.rotate_fleet(jitter, None, asker).await
    }

    /// [`Lifecycle::rotate_all`] of those whose login has become as old as this, or nearly.
    pub(super) async fn rotate_fleet(
        &self,
        jitter: Duration,
        every: Option<Duration>,
        asker: Asker,
    ) -> Result<Started, StartError> {
        let deps = self.deps();
        let params = Params {
            jitter_ms: u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX),
            every_secs: every.map(|every| every.as_secs_f64()),
        };
        let id = OperationId::generate(&deps.clock, &deps.entropy);
        let mut tx = deps.catalog.begin().await?;
        if let Some(running) = operations::lock_fleet_kind(&mut tx, RotateAll::NAME).await? {
            return Err(StartError::InProgress(running));
        }
        let fence = self
            .record::<RotateAll>(&mut tx, id, None, &params, &asker)
            .await?;
        self.audit(
            &mut tx,
            &asker,
            "fleet.rotate_credentials",
            None,
            Some("rotate the router logins of many tenants"),
            json!({ "operationId": id, "request": params }),
        )
        .await?;
        let begun_at = operations::by_id(&mut tx, id)
            .await?
            .map_or_else(|| deps.clock.now(), |operation| operation.created_at);
        tx.commit().await?;
        let lease = self.lease(id, fence);
        let work = RotateAll {
            life: self.clone(),
            lease: lease.clone(),
            params,
            begun_at,
            report: Mutex::default(),
        };
        self.carry(lease, work);
        Ok(Started::anew(id, None))
    }
}

impl RotateAll {
    #[expect(
        clippy::unused_async,
        reason = "as the other kinds of operation are resumed"
    )]
    pub(crate) async fn resume(
        life: &Lifecycle,
        operation: &Operation,
        lease: Arc<Lease>,
    ) -> Result<Self, StepError> {
        Ok(Self {
            life: life.clone(),
            lease,
            params: crate::worker::params(operation)?,
            begun_at: operation.created_at,
            report: Mutex::default(),
        })
    }

    /// A tenant's moment, counted from the beginning of the run: the same when it is taken up again, and
    /// another one in the next run.
    fn moment(&self, tenant: TenantId) -> Duration {
        let bytes = tenant
            .as_uuid()
            .into_bytes()
            .into_iter()
            .chain(self.lease.operation().as_uuid().into_bytes());
        // FNV-1a: it has to spread, and nobody has to be kept from guessing.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let part = (hash >> 40) as f64 / f64::from(1_u32 << 24);
        Duration::from_millis(self.params.jitter_ms).mul_f64(part)
    }
}

async fn tenants(work: &RotateAll) -> Result<(), StepError> {
    let deps = work.life.deps();
    let mut conn = deps.catalog.acquire().await?;
    let mut all = match work.params.every_secs {
        Some(secs) => {
            let every = Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX);
            logins::scheduled(&mut conn, every, SCHEDULED).await?
        }
        None => logins::of_fleet(&mut conn, work.begun_at).await?,
    };
    drop(conn);
    all.sort_by_key(|tenant| work.moment(tenant.id));
    let (progress, seen) = watch::channel(Progress {
        total: all.len(),
        ..Progress::default()
    });
    let mut done = Vec::with_capacity(all.len());
    let mut items = futures::stream::iter(all)
        .map(|tenant| one(work, tenant))
        .buffer_unordered(deps.settings.rotations_at_once.max(1));
    let rotating = async {
        while let Some(item) = items.next().await {
            progress.send_modify(|progress| progress.count(item.outcome));
            done.push(item);
        }
    };
    tokio::select! {
        // First, so that a rotation which a pause refused is not taken for the tenant's result.
        biased;
        () = work.life.0.gate.closed() => return Err(StepError::Interrupted(None)),
        () = rotating => {}
        () = tell(work, seen) => {}
        // What was begun goes on by itself, and what was not by whoever takes this up.
        () = work.life.0.stopping.cancelled() => return Err(StepError::Interrupted(None)),
    }
    work.report.lock().await.extend(done);
    Ok(())
}

/// Rotates one tenant at its moment; whatever goes wrong becomes its result.
async fn one(work: &RotateAll, tenant: OfTenant) -> Item {
    let mut item = Item {
        tenant_id: tenant.id,
        slug: tenant.slug.as_str().to_owned(),
        outcome: Outcome::Skipped,
        operation_id: None,
        error: None,
    };
    if tenant.status != Status::Active {
        item.error = Some(format!("the tenant is {}", tenant.status));
        return item;
    }
    let since = work.life.deps().clock.now() - work.begun_at;
    let left = work
        .moment(tenant.id)
        .saturating_sub(since.to_std().unwrap_or_default());
    tokio::time::sleep(left).await;
    match rotated(work, tenant.id, &mut item).await {
        Ok(Finished::Done) => item.outcome = Outcome::Rotated,
        Ok(Finished::Failed(failure) | Finished::Parked(failure)) => {
            item.outcome = Outcome::Failed;
            item.error = Some(failure.message);
        }
        // Closed or gone meanwhile.
        Err(error @ (StartError::UnknownTenant | StartError::WrongState(_))) => {
            item.error = Some(error.to_string());
        }
        Err(error) => {
            item.outcome = Outcome::Failed;
            item.error = Some(error.to_string());
        }
    }
    if let (Outcome::Failed, Some(error)) = (item.outcome, &item.error) {
        tracing::warn!(tenant = %item.tenant_id, error, "a tenant's login could not be rotated");
    }
    item
}

/// Begins a tenant's rotation and waits for its end; one that is under way already counts as well.
async fn rotated(
    work: &RotateAll,
    tenant: TenantId,
    item: &mut Item,
) -> Result<Finished, StartError> {
    let asker = Asker::product("rotate-all");
    let id = match work.life.rotate(&TenantRef::Id(tenant), asker).await {
        Ok(started) => started.operation_id,
        Err(StartError::InProgress(running)) => {
            let mut conn = work.life.deps().catalog.acquire().await?;
            let operation = operations::by_id(&mut conn, running).await?;
            match operation {
                Some(operation) if operation.kind == Rotate::NAME => running,
                _ => return Err(StartError::InProgress(running)),
            }
        }
        Err(error) => return Err(error),
    };
    item.operation_id = Some(id);
    loop {
        match work.life.wait(id, PATIENCE).await {
            Ok(finished) => return Ok(finished),
            Err(WaitError::StillRunning) => {}
            Err(WaitError::Unknown) => return Err(StartError::UnknownTenant),
            Err(WaitError::Catalog(error)) => return Err(error),
        }
    }
}

/// Writes down how far it has come whenever that has changed. Nothing depends on it.
async fn tell(work: &RotateAll, mut progress: watch::Receiver<Progress>) {
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    progress.mark_changed();
    loop {
        ticks.tick().await;
        if !progress.has_changed().unwrap_or(false) {
            continue;
        }
        let mut params = serde_json::to_value(&work.params).unwrap_or_default();
        params[PROGRESS] = json!(*progress.borrow_and_update());
        let written = async {
            let mut conn = work.life.deps().catalog.acquire().await?;
            let (id, fence) = (work.lease.operation(), work.lease.fence());
            operations::set_params(&mut conn, id, fence, &params).await?;
            Ok::<_, StepError>(())
        };
        if let Err(error) = written.await {
            tracing::debug!(error = %chain_of(&error), "the progress could not be kept");
        }
    }
}
