//! Drives one operation to its end, forwards or backwards.

use std::time::Duration;

use sqlx::PgPool;
use tenantry_catalog::journal::{self, Advanced, Event};
use tenantry_catalog::operations::{self, Status};
use tenantry_types::metric;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::faults::{Faults, Point};
use super::lease::Lease;
use super::spans;
use super::step::{Failure, Kind, OnFailure, Step, StepError};

/// After so many failures that waiting cannot cure, an operation waits for a person.
const TRIES: usize = 10;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How a drive ended.
#[derive(Debug)]
pub enum End {
    /// All steps are reached.
    Done,
    /// All steps are undone; this is why.
    Failed(Failure),
    /// A person has to look; this is why.
    Parked(Failure),
    /// Not finished: to be taken up again after this long.
    Later(Duration),
}

/// What a drive needs besides the operation itself.
pub struct Drive<'a> {
    /// The catalog that holds the journal.
    pub catalog: &'a PgPool,
    /// The right to drive.
    pub lease: &'a Lease,
    /// Faults to strike with.
    pub faults: &'a Faults,
    /// Fires when the program is to stop: the drive then ends at the next step's border.
    pub stopping: &'a CancellationToken,
    /// Whether somebody has paused it: then, too, it ends at the next step's border.
    pub paused: &'a (dyn Fn() -> bool + Sync),
    /// Whether the operation was recorded a moment ago, by us: then its journal has no line yet.
    pub newborn: bool,
    /// The journal up to this line counts no failures: a person asked for more tries.
    pub tries_after: i32,
}

/// Drives an operation from where its journal says it stands.
///
/// # Errors
/// [`StepError::Interrupted`] when the lease was lost or the catalog could not be reached: the
/// operation stands where the journal says, and whoever takes the lease goes on from there.
pub async fn drive<K: Kind>(
    drive: &Drive<'_>,
    status: Status,
    error: Option<serde_json::Value>,
    work: &K,
) -> Result<End, StepError> {
    let trail = if drive.newborn {
        Trail::read(Vec::new(), 0)
    } else {
        drive.trail().await?
    };
    if status == Status::Undoing {
        let failure = error
            .and_then(|error| serde_json::from_value(error).ok())
            .unwrap_or_else(Failure::unknown);
        return drive.backwards::<K>(work, &trail, failure).await;
    }
    match drive.forwards::<K>(work, &trail).await {
        Err(StepError::Failed(failure)) => {
            let now = drive.trail().await?;
            if K::ON_FAILURE == OnFailure::Undo
                && !K::NO_WAY_BACK.is_some_and(|step| now.begun(step))
            {
                drive.status(Status::Undoing, &failure).await?;
                drive.backwards::<K>(work, &now, failure).await
            } else {
                drive.again_or_park(&failure, trail.failures).await
            }
        }
        other => other,
    }
}

impl Drive<'_> {
    async fn trail(&self) -> Result<Trail, StepError> {
        let mut conn = self.catalog.acquire().await?;
        Ok(Trail::read(
            journal::of(&mut conn, self.lease.operation()).await?,
            self.tries_after,
        ))
    }

    fn must_stop(&self) -> bool {
        self.stopping.is_cancelled() || (self.paused)()
    }

    async fn forwards<K: Kind>(&self, work: &K, trail: &Trail) -> Result<End, StepError> {
        let mut reached: Option<&str> = None;
        let left = K::steps()
            .iter()
            .filter(|step| !trail.done(step.name) && !work.skips(step.name));
        for step in left {
            if self.must_stop() {
                self.record_done(reached.take(), None).await?;
                return Ok(End::Later(Duration::ZERO));
            }
            // One write says that the step before is reached and that this one begins, and reads
            // whether somebody wants it to turn back.
            let advanced = self.record_done(reached.take(), Some(step.name)).await?;
            if advanced == Advanced::CancelAsked && may_turn_back_at::<K>(step.name) {
                return Err(StepError::Failed(Failure::cancelled()));
            }
            if let Err(error) = self.strike_around::<K>(work, step).await {
                if let StepError::Failed(failure) = &error {
                    tracing::warn!(operation = %self.lease.operation(), kind = K::NAME, step = step.name,
                        code = failure.code, cause = failure.cause, "a step failed");
                    count_failure::<K>("forward");
                    self.record(step.name, Event::Failed, failure_detail(failure))
                        .await?;
                }
                return Err(error);
            }
            reached = Some(step.name);
            if self.faults.armed(K::NAME, step.name, Point::AfterRecord) {
                self.record_done(reached.take(), None).await?;
                self.faults
                    .strike(K::NAME, step.name, Point::AfterRecord)
                    .await?;
            }
        }
        let beside = async {
            // An operation that has ended is soon nobody's: then there is no more waiting.
            tokio::select! {
                () = self.lease.lost() => {}
                () = work.beside_the_end() => {}
            }
        };
        let (ended, ()) = tokio::join!(self.end(reached, work.result()), beside);
        ended.map(|()| End::Done)
    }

    /// Runs a step's effect with the lease watched and the faults asked.
    async fn strike_around<K: Kind>(&self, work: &K, step: &Step<K>) -> Result<(), StepError> {
        let faults = self.faults;
        faults
            .strike(K::NAME, step.name, Point::BeforeEffect)
            .await?;
        let span = spans::step(self.lease.operation(), K::NAME, step.name, false);
        let run = self.while_held((step.run)(work)).instrument(span.clone());
        run.await.inspect_err(|_| spans::failed(&span))?;
        faults.strike(K::NAME, step.name, Point::AfterEffect).await
    }

    async fn backwards<K: Kind>(
        &self,
        work: &K,
        trail: &Trail,
        failure: Failure,
    ) -> Result<End, StepError> {
        for step in K::steps().iter().rev() {
            let Some(undo) = step.undo else { continue };
            if !trail.begun(step.name) || trail.undone(step.name) {
                continue;
            }
            if self.must_stop() {
                return Ok(End::Later(Duration::ZERO));
            }
            self.record(step.name, Event::UndoStarted, serde_json::json!({}))
                .await?;
            let span = spans::step(self.lease.operation(), K::NAME, step.name, true);
            let faults = self.faults;
            let undone = async {
                faults.strike(K::NAME, step.name, Point::BeforeUndo).await?;
                self.while_held(undo(work)).await?;
                faults.strike(K::NAME, step.name, Point::AfterUndo).await
            };
            let undone = undone.instrument(span.clone());
            if let Err(error) = undone.await.inspect_err(|_| spans::failed(&span)) {
                let StepError::Failed(trouble) = error else {
                    return Err(error);
                };
                tracing::error!(operation = %self.lease.operation(), kind = K::NAME, step = step.name,
                    code = trouble.code, cause = trouble.cause, "a step could not be undone");
                count_failure::<K>("undo");
                self.record(step.name, Event::UndoFailed, failure_detail(&trouble))
                    .await?;
                return self.again_or_park(&trouble, trail.undo_failures).await;
            }
            self.record(step.name, Event::Undone, serde_json::json!({}))
                .await?;
        }
        self.give_up(Status::Failed, &failure).await?;
        Ok(End::Failed(failure))
    }

    /// Waits longer from try to try; a failure that waiting cannot cure ends with a person.
    async fn again_or_park(&self, failure: &Failure, failures: usize) -> Result<End, StepError> {
        if !failure.retryable && failures + 1 >= TRIES {
            self.give_up(Status::Parked, failure).await?;
            return Ok(End::Parked(failure.clone()));
        }
        let exponent = u32::try_from(failures.min(8)).unwrap_or(8);
        Ok(End::Later(
            (Duration::from_millis(200) * 2_u32.pow(exponent)).min(LONGEST_WAIT),
        ))
    }

    async fn while_held(
        &self,
        effect: impl Future<Output = Result<(), StepError>>,
    ) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.lease.lost() => Err(StepError::Interrupted(None)),
            outcome = effect => outcome,
        }
    }

    /// Says in one statement that a step is reached, that the next one begins, or both.
    async fn record_done(
        &self,
        done: Option<&str>,
        started: Option<&str>,
    ) -> Result<Advanced, StepError> {
        if done.is_none() && started.is_none() {
            return Ok(Advanced::Held);
        }
        let mut conn = self.catalog.acquire().await?;
        let (id, fence) = (self.lease.operation(), self.lease.fence());
        match journal::advance(&mut conn, id, fence, done, started).await? {
            Advanced::Lost => Err(StepError::Interrupted(None)),
            advanced => Ok(advanced),
        }
    }

    async fn record(
        &self,
        step: &str,
        event: Event,
        detail: serde_json::Value,
    ) -> Result<(), StepError> {
        let mut conn = self.catalog.acquire().await?;
        let (id, fence) = (self.lease.operation(), self.lease.fence());
        held(journal::append(&mut conn, id, fence, step, event, &detail).await?)
    }

    async fn status(&self, status: Status, failure: &Failure) -> Result<(), StepError> {
        let mut conn = self.catalog.acquire().await?;
        let (id, fence) = (self.lease.operation(), self.lease.fence());
        let error = serde_json::to_value(failure).ok();
        held(operations::set_status(&mut conn, id, fence, status, error.as_ref()).await?)
    }

    /// The last step is reached, and with it the goal; one statement says both.
    async fn end(&self, reached: Option<&str>, result: serde_json::Value) -> Result<(), StepError> {
        let mut conn = self.catalog.acquire().await?;
        let (id, fence) = (self.lease.operation(), self.lease.fence());
        held(match reached {
            Some(step) => operations::complete(&mut conn, id, fence, step, &result).await?,
            None => {
                let (status, result) = (Status::Done, Some(&result));
                operations::finish(&mut conn, id, fence, status, result, None).await?
            }
        })
    }

    /// Ends it short of its goal: undone, or waiting for a person.
    async fn give_up(&self, status: Status, failure: &Failure) -> Result<(), StepError> {
        if status == Status::Parked {
            return self.status(status, failure).await;
        }
        let mut conn = self.catalog.acquire().await?;
        let (id, fence) = (self.lease.operation(), self.lease.fence());
        let error = serde_json::to_value(failure).ok();
        held(operations::finish(&mut conn, id, fence, status, None, error.as_ref()).await?)
    }
}

/// Whether an operation that is about to begin this step may still be cancelled. The step that has no way
/// back stands in the journal as begun by then, and whoever reads that goes on to the end.
fn may_turn_back_at<K: Kind>(step: &str) -> bool {
    let place = |wanted: &str| K::steps().iter().position(|step| step.name == wanted);
    K::ON_FAILURE == OnFailure::Undo && K::NO_WAY_BACK.is_none_or(|last| place(step) < place(last))
}

/// What was written counts only while the operation is ours.
fn held(written: bool) -> Result<(), StepError> {
    if written {
        Ok(())
    } else {
        Err(StepError::Interrupted(None))
    }
}

/// What the journal says, reduced to what a drive asks of it.
struct Trail {
    entries: Vec<(String, Event)>,
    failures: usize,
    undo_failures: usize,
}

impl Trail {
    fn read(entries: Vec<journal::Entry>, tries_after: i32) -> Self {
        let counted = |entry: &&journal::Entry| entry.seq > tries_after;
        let count = |event| {
            let mine = entries.iter().filter(counted);
            mine.filter(|entry| entry.event == event).count()
        };
        Self {
            failures: count(Event::Failed),
            undo_failures: count(Event::UndoFailed),
            entries: entries
                .into_iter()
                .map(|entry| (entry.step, entry.event))
                .collect(),
        }
    }

    fn has(&self, step: &str, wanted: Event) -> bool {
        self.entries
            .iter()
            .any(|(name, event)| name == step && *event == wanted)
    }

    fn begun(&self, step: &str) -> bool {
        self.has(step, Event::Started)
    }

    fn done(&self, step: &str) -> bool {
        self.has(step, Event::Done)
    }

    fn undone(&self, step: &str) -> bool {
        self.has(step, Event::Undone)
    }
}

fn count_failure<K: Kind>(direction: &'static str) {
    let name = metric::OPERATION_STEPS_FAILED.name;
    metrics::counter!(name, "kind" => K::NAME, "direction" => direction).increment(1);
}

fn failure_detail(failure: &Failure) -> serde_json::Value {
    serde_json::json!({ "code": failure.code, "message": failure.message, "cause": failure.cause })
}
