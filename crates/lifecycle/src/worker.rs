//! Carries operations through: those that begin here, and those whose driver died elsewhere.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use tenantry_catalog::operations::{self, Operation, Status};
use tenantry_catalog::{audit, change_log, tenants};
use tenantry_types::{AuditId, TenantId, metric};
use tokio::time::Instant;
use tracing::Instrument;

use crate::asker::Asker;
use crate::engine::{self, Drive, End, Failure, Kind, Lease, StepError, spans};
use crate::error::StartError;
use crate::pause::kinds_when_paused;
use crate::{
    Adopt, Create, Credentials, Delete, EndLogin, IssueLogin, Lifecycle, Migrate, Purge, Resume,
    RetireCredentials, Rotate, RotateAll, Spare, Suspend, Unadopt, Undelete, Unspare,
};

/// Looks for operations without a driver, at the start and by period.
pub(crate) async fn run(life: Lifecycle) {
    let slots = Arc::new(tokio::sync::Semaphore::new(
        life.deps().settings.at_once.max(1),
    ));
    loop {
        while let Ok(slot) = slots.clone().try_acquire_owned() {
            match take_one(&life).await {
                Ok(Some(operation)) => {
                    let life = life.clone();
                    life.0.running.clone().spawn(async move {
                        take_up(&life, operation).await;
                        drop(slot);
                    });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "could not look for operations without a driver");
                    break;
                }
            }
        }
        tokio::select! {
            () = life.0.stopping.cancelled() => return,
            () = tokio::time::sleep(life.deps().settings.poll) => {}
        }
    }
}

async fn take_one(life: &Lifecycle) -> Result<Option<Operation>, StartError> {
    if life.0.stopping.is_cancelled() {
        return Ok(None);
    }
    // While it is paused, only what people need in an emergency is taken up.
    let only = kinds_when_paused().map(str::to_owned);
    let only = (!life.0.gate.is_open()).then_some(only.as_slice());
    let mut conn = life.deps().catalog.acquire().await?;
    let lease = life.deps().settings.lease;
    Ok(operations::claim_next_of(&mut conn, life.0.holder, lease, only).await?)
}

/// Goes on with an operation that a former driver left.
async fn take_up(life: &Lifecycle, operation: Operation) {
    let lease = life.lease(operation.id, operation.fence);
    tracing::info!(operation = %operation.id, kind = operation.kind, fence = operation.fence, "taking an operation up");
    let carried = match operation.kind.as_str() {
        Create::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Create::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Spare::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Spare::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Unspare::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Unspare::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Delete::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Delete::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Purge::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Purge::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Undelete::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Undelete::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Suspend::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Suspend::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Resume::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Resume::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Migrate::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Migrate::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Rotate::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Rotate::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        RotateAll::NAME => {
            resume(
                life,
                &operation,
                &lease,
                RotateAll::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Credentials::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Credentials::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        RetireCredentials::NAME => {
            resume(
                life,
                &operation,
                &lease,
                RetireCredentials::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        IssueLogin::NAME => {
            resume(
                life,
                &operation,
                &lease,
                IssueLogin::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        EndLogin::NAME => {
            resume(
                life,
                &operation,
                &lease,
                EndLogin::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Adopt::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Adopt::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        Unadopt::NAME => {
            resume(
                life,
                &operation,
                &lease,
                Unadopt::resume(life, &operation, lease.clone()).await,
            )
            .await
        }
        _ => Err(unknown_kind(&operation)),
    };
    if let Err(error) = carried {
        tracing::warn!(operation = %operation.id, error = %engine::chain_of(&error), "an operation could not be taken up; trying again later");
        lease.give_back(Duration::from_secs(5)).await;
    }
}

/// Where a drive begins.
enum From {
    /// The operation was recorded a moment ago.
    Birth,
    /// Where the journal says that it stands.
    Journal {
        status: Status,
        error: Option<serde_json::Value>,
        tries_after: i32,
    },
}

async fn resume<K: Kind>(
    life: &Lifecycle,
    operation: &Operation,
    lease: &Arc<Lease>,
    work: Result<K, StepError>,
) -> Result<(), StepError> {
    let span = spans::operation(operation.id, K::NAME);
    let from = From::Journal {
        status: operation.status,
        error: operation.error.clone(),
        tries_after: operation.tries_after,
    };
    life.drive_on(lease, from, work?).instrument(span).await;
    Ok(())
}

impl Lifecycle {
    /// Writes a line of the audit trail, in the transaction of the change: no line, no change. See
    /// [`audit::Entry`] for what `detail` may hold.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn audit(
        &self,
        conn: &mut PgConnection,
        asker: &Asker,
        action: &str,
        tenant: Option<TenantId>,
        reason: Option<&str>,
        detail: serde_json::Value,
    ) -> Result<(), StartError> {
        let deps = self.deps();
        let entry = audit::Entry {
            actor: &asker.name,
            operator: asker.operator,
            action,
            tenant,
            request_id: asker.request_id.as_deref(),
            address: asker.address.as_deref(),
            agent: asker.agent.as_deref(),
            reason,
            detail: &detail,
        };
        audit::record(conn, AuditId::generate(&deps.clock, &deps.entropy), &entry).await?;
        Ok(())
    }

    /// Carries an operation that just began, in the background: it goes on when its asker hangs up.
    pub(crate) fn carry<K: Kind>(&self, lease: Arc<Lease>, work: K) {
        let life = self.clone();
        let span = spans::operation(lease.operation(), K::NAME);
        let driving = async move { life.drive_newborn(&lease, work).await };
        self.0.running.spawn(driving.instrument(span));
    }

    /// Carries an operation that was recorded a moment ago.
    pub(crate) async fn drive_newborn<K: Kind>(&self, lease: &Arc<Lease>, work: K) {
        self.drive_on(lease, From::Birth, work).await;
    }

    async fn drive_on<K: Kind>(&self, lease: &Arc<Lease>, from: From, work: K) {
        let deps = self.deps();
        let at_work = self.at_work(K::NAME);
        if at_work.is_none() && !K::RUNS_WHEN_PAUSED {
            lease.give_back(Duration::ZERO).await;
            let _ = self.0.finished.send((lease.operation(), false));
            return;
        }
        let (newborn, status, error, tries_after) = match from {
            From::Birth => (true, Status::Running, None, 0),
            From::Journal {
                status,
                error,
                tries_after,
            } => (false, status, error, tries_after),
        };
        let drive = Drive {
            catalog: &deps.catalog,
            lease,
            faults: &deps.faults,
            stopping: &self.0.stopping,
            paused: &|| !K::RUNS_WHEN_PAUSED && !self.0.gate.is_open(),
            newborn,
            tries_after,
        };
        let begun = Instant::now();
        let ended = engine::drive(&drive, status, error, &work).await;
        let done = matches!(ended, Ok(End::Done));
        let outcome = count_end::<K>(&ended, begun.elapsed());
        work.ended(outcome);
        spans::ended(outcome, &ended);
        match ended {
            Ok(End::Done | End::Failed(_)) => {}
            Ok(End::Parked(failure)) => {
                tracing::error!(operation = %lease.operation(), kind = K::NAME, code = failure.code,
                    "an operation waits for a person");
                if !K::SERVED_WHEN_PARKED {
                    self.mark_parked(lease, &failure).await;
                }
            }
            Ok(End::Later(delay)) => lease.give_back(delay).await,
            // Nothing can be recorded: the lease ends by itself and another driver goes on.
            Err(error) => {
                tracing::warn!(operation = %lease.operation(), kind = K::NAME,
                    error = %engine::chain_of(&error), "an operation was interrupted");
            }
        }
        // Nobody may be listening; that is no error.
        let _ = self.0.finished.send((lease.operation(), done));
    }

    async fn mark_parked(&self, lease: &Lease, failure: &Failure) {
        let marked = async {
            let mut tx = self.deps().catalog.begin().await?;
            let Some(tenant) = operations::by_id(&mut tx, lease.operation())
                .await?
                .and_then(|operation| operation.tenant_id)
            else {
                return Ok(());
            };
            if let Some(standing) = tenants::standing(&mut tx, tenant).await? {
                operations::remember_standing(&mut tx, lease.operation(), &standing).await?;
            }
            tenants::set_status(
                &mut tx,
                tenant,
                tenants::Status::Error,
                Some(&failure.message),
            )
            .await?;
            change_log::append(&mut tx, tenant, change_log::Kind::Updated).await?;
            tx.commit().await?;
            Ok::<_, StepError>(())
        };
        if let Err(error) = marked.await {
            tracing::warn!(operation = %lease.operation(), error = %engine::chain_of(&error), "a tenant could not be marked");
        }
    }
}

fn count_end<K: Kind>(ended: &Result<End, StepError>, took: Duration) -> &'static str {
    let outcome = match ended {
        Ok(End::Done) => "done",
        Ok(End::Failed(_)) => "failed",
        Ok(End::Parked(_)) => "parked",
        Ok(End::Later(_)) => "later",
        Err(_) => "interrupted",
    };
    metrics::counter!(metric::OPERATIONS.name, "kind" => K::NAME, "outcome" => outcome)
        .increment(1);
    if matches!(ended, Ok(End::Done)) {
        metrics::histogram!(metric::OPERATION_SECONDS.name, "kind" => K::NAME).record(took);
    }
    outcome
}

/// Makes a step's write in the catalog conditional: it is made by the holder of the lease or not at all.
pub(crate) async fn guard(conn: &mut PgConnection, lease: &Lease) -> Result<(), StepError> {
    if operations::hold(conn, lease.operation(), lease.fence()).await? {
        Ok(())
    } else {
        Err(StepError::Interrupted(None))
    }
}

/// What the operation keeps of its request.
pub(crate) fn params<T: DeserializeOwned>(operation: &Operation) -> Result<T, StepError> {
    serde_json::from_value(operation.params.clone()).map_err(|error| {
        StepError::Failed(Failure::new(
            tenantry_types::ErrorKind::Internal,
            "INTERNAL",
            "The operation's record cannot be read by this version.",
            &error,
        ))
    })
}

fn unknown_kind(operation: &Operation) -> StepError {
    StepError::Failed(Failure {
        code: "INTERNAL".to_owned(),
        message: format!("This version knows no operation `{}`.", operation.kind),
        retryable: false,
        cause: "begun by another version".to_owned(),
    })
}
