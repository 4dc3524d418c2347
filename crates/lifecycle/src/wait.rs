//! Waiting for an operation's end.

use std::time::Duration;

use tenantry_catalog::operations::{self, Status};
use tenantry_types::OperationId;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::Lifecycle;
use crate::engine::Failure;
use crate::error::StartError;

/// How often the catalog is asked when another process drives the operation.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long an asker waits for the traces of a failure to be gone. The failure itself is decided
/// when the undoing begins; on a server that is away it may take until that is back.
const UNDOING_FOR: Duration = Duration::from_secs(2);

/// How an operation ended.
#[derive(Clone, Debug)]
pub enum Finished {
    /// It reached its goal.
    Done,
    /// It failed, for this reason, and is undone, or will be as soon as that is possible.
    Failed(Failure),
    /// It stopped half-way and waits for a person; this is why.
    Parked(Failure),
}

/// Why there was nothing to wait for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It goes on; ask again later.
    #[error("the operation is still running")]
    StillRunning,
    /// There is no such operation.
    #[error("there is no such operation")]
    Unknown,
    /// The catalog cannot be asked.
    #[error("the catalog cannot be asked")]
    Catalog(#[source] StartError),
}

impl Lifecycle {
    /// Waits for an operation to end, whichever process drives it.
    ///
    /// # Errors
    /// [`WaitError::StillRunning`] when `patience` is over.
    pub async fn wait(&self, id: OperationId, patience: Duration) -> Result<Finished, WaitError> {
        let deadline = Instant::now() + patience;
        let mut finished = self.0.finished.subscribe();
        let mut undoing_since: Option<Instant> = None;
        loop {
            match self.look(id).await? {
                Look::Ended(end) => return Ok(end),
                Look::Undoing(failure) => {
                    let since = *undoing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= UNDOING_FOR {
                        return Ok(Finished::Failed(failure));
                    }
                }
                Look::Running => {}
            }
            if Instant::now() >= deadline {
                return Err(WaitError::StillRunning);
            }
            let next = (Instant::now() + LOOK_EVERY).min(deadline);
            loop {
                match tokio::time::timeout_at(next, finished.recv()).await {
                    Ok(Ok((ended, _))) if ended != id => {}
                    Ok(Ok((_, true))) => return Ok(Finished::Done),
                    Ok(Ok(_) | Err(RecvError::Lagged(_))) => break,
                    // No sender can be left over while `self` lives; waiting for the clock is right then too.
                    Ok(Err(RecvError::Closed)) => tokio::time::sleep_until(next).await,
                    Err(_) => break,
                }
            }
        }
    }

    async fn look(&self, id: OperationId) -> Result<Look, WaitError> {
        let fail = |error| WaitError::Catalog(error);
        let mut conn = self
            .deps()
            .catalog
            .acquire()
            .await
            .map_err(|error| fail(error.into()))?;
        let operation = operations::by_id(&mut conn, id)
            .await
            .map_err(|error| fail(error.into()))?
            .ok_or(WaitError::Unknown)?;
        let failure = || {
            operation
                .error
                .clone()
                .and_then(|error| serde_json::from_value(error).ok())
                .unwrap_or_else(Failure::unknown)
        };
        Ok(match operation.status {
            Status::Done => Look::Ended(Finished::Done),
            Status::Failed => Look::Ended(Finished::Failed(failure())),
            Status::Parked => Look::Ended(Finished::Parked(failure())),
            Status::Undoing => Look::Undoing(failure()),
            Status::Running => Look::Running,
        })
    }
}

/// How an operation stands.
enum Look {
    Running,
    Undoing(Failure),
    Ended(Finished),
}
