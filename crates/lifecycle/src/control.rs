//! What a person decides about an operation that is on its way or stuck: cancel it, try it again,
//! give it up. Each decision is in the audit trail, in the transaction that takes it.

use tenantry_catalog::journal;
use tenantry_catalog::operations::{self, Decision, Operation, Status};
use tenantry_types::{OperationId, Reason};

use crate::asker::Asker;
use crate::engine::{Failure, Kind, OnFailure};
use crate::error::StartError;
use crate::{
    Adopt, Create, Credentials, Delete, EndLogin, IssueLogin, Lifecycle, Migrate, Purge, Resume,
    RetireCredentials, Rotate, RotateAll, Spare, Suspend, Unadopt, Undelete, Unspare,
};

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is recorded, and takes effect when the operation's driver sees it.
    Taken,
    /// Nothing was to be done: it is so already.
    Already,
}

/// A kind of operation as the engine sees it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its name in the journal.
    pub name: &'static str,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// The step from whose beginning on there is no way back, where a failure is undone.
    pub no_way_back: Option<&'static str>,
    /// Its steps in order, and whether each has an undoing of its own.
    pub steps: Vec<(&'static str, bool)>,
}

/// All kinds of operations. What has to be shown of each of them is generated from this.
#[must_use]
pub fn shapes() -> Vec<Shape> {
    fn of<K: Kind>() -> Shape {
        let steps = K::steps().iter();
        Shape {
            name: K::NAME,
            on_failure: K::ON_FAILURE,
            no_way_back: K::NO_WAY_BACK,
            steps: steps.map(|step| (step.name, step.undo.is_some())).collect(),
        }
    }
    let kinds = [
        of::<Create>(),
        of::<Spare>(),
        of::<Unspare>(),
        of::<Delete>(),
        of::<Purge>(),
        of::<Undelete>(),
        of::<Suspend>(),
        of::<Resume>(),
        of::<Migrate>(),
        of::<Rotate>(),
        of::<RotateAll>(),
        of::<Credentials>(),
        of::<RetireCredentials>(),
        of::<IssueLogin>(),
        of::<EndLogin>(),
        of::<Adopt>(),
        of::<Unadopt>(),
    ];
    kinds.into()
}

/// From which step on an operation of a kind goes to its end whatever is asked; `None` for the kinds
/// that never turn back: a deletion that was answered must not come undone.
fn way_back(kind: &str) -> Option<WayBack> {
    let shape = shapes()
        .into_iter()
        .find(|shape| shape.name == kind && shape.on_failure == OnFailure::Undo)?;
    Some(WayBack {
        until: shape.no_way_back,
    })
}

/// The way back of a kind of operation.
struct WayBack {
    /// Once this step is begun there is none.
    until: Option<&'static str>,
}

impl WayBack {
    fn is_open(&self, journal: &[journal::Entry]) -> bool {
        !journal
            .iter()
            .any(|entry| Some(entry.step.as_str()) == self.until)
    }
}

impl Lifecycle {
    /// Whether a failure of this operation undoes what it did, as far as it has come.
    pub(crate) fn rolls_back(operation: &Operation, journal: &[journal::Entry]) -> bool {
        way_back(&operation.kind).is_some_and(|way| way.is_open(journal))
    }

    /// Asks an operation to turn back at its next step's border; what it has done is undone. Wait for it
    /// to know: it may be through before it sees this.
    ///
    /// # Errors
    /// [`StartError::NotCancellable`] for a kind that has no way back, or one that is past it, [`StartError::Ended`] for one
    /// that is over or stuck.
    pub async fn cancel(
        &self,
        id: OperationId,
        reason: Option<&Reason>,
        asker: &Asker,
    ) -> Result<Decided, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let operation = operations::by_id(&mut tx, id)
            .await?
            .ok_or(StartError::UnknownOperation)?;
        let Some(way) = way_back(&operation.kind) else {
            return Err(StartError::NotCancellable(
                "an operation of this kind goes to its end: what it promises has no way back",
            ));
        };
        if operation.status == Status::Running && !way.is_open(&journal::of(&mut tx, id).await?) {
            return Err(StartError::NotCancellable(
                "the operation is past the step from which there is no way back, and goes to its end",
            ));
        }
        if operation.status == Status::Undoing {
            return Ok(Decided::Already);
        }
        self.note(&mut tx, &operation, "operation.cancel", reason, asker)
            .await?;
        match operations::ask_to_cancel(&mut tx, id, &asker.name, reason.map(Reason::as_str))
            .await?
        {
            Decision::Taken => {}
            Decision::Unknown => return Err(StartError::UnknownOperation),
            Decision::Not(Status::Undoing) => return Ok(Decided::Already),
            Decision::Not(Status::Parked) => {
                return Err(StartError::Ended(
                    "the operation is parked: retry it, or abandon it",
                ));
            }
            Decision::Not(_) => return Err(StartError::Ended("the operation has ended")),
        }
        tx.commit().await?;
        Ok(Decided::Taken)
    }

    /// Lets a parked operation go on, or one that waits for its next try go on at once.
    ///
    /// # Errors
    /// [`StartError::Ended`] for one that is over.
    pub async fn retry(&self, id: OperationId, asker: &Asker) -> Result<Decided, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let operation = operations::by_id(&mut tx, id)
            .await?
            .ok_or(StartError::UnknownOperation)?;
        self.may_begin(&operation.kind)?;
        self.note(&mut tx, &operation, "operation.retry", None, asker)
            .await?;
        match operations::retry(&mut tx, id).await? {
            Decision::Taken => {}
            Decision::Unknown => return Err(StartError::UnknownOperation),
            // Somebody works on it.
            Decision::Not(Status::Running | Status::Undoing) => return Ok(Decided::Already),
            Decision::Not(_) => {
                return Err(StartError::Ended(
                    "the operation has ended: ask for the change again",
                ));
            }
        }
        tx.commit().await?;
        Ok(Decided::Taken)
    }

    /// Gives up a parked operation, for a reason. Its tenant stays as the operation left it, and can be
    /// changed again: most often it is deleted.
    ///
    /// # Errors
    /// [`StartError::WrongState`] for one that is not parked.
    pub async fn abandon(
        &self,
        id: OperationId,
        reason: &Reason,
        asker: &Asker,
    ) -> Result<(), StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        let operation = operations::by_id(&mut tx, id)
            .await?
            .ok_or(StartError::UnknownOperation)?;
        self.note(
            &mut tx,
            &operation,
            "operation.abandon",
            Some(reason),
            asker,
        )
        .await?;
        let failure = Failure {
            code: operations::ABANDONED.to_owned(),
            message: format!("The operation was given up by {}: {reason}", asker.name),
            retryable: false,
            cause: String::new(),
        };
        let error = serde_json::to_value(&failure).unwrap_or_default();
        match operations::abandon(&mut tx, id, &error).await? {
            Decision::Taken => {}
            Decision::Unknown => return Err(StartError::UnknownOperation),
            Decision::Not(Status::Running | Status::Undoing) => {
                return Err(StartError::WrongState(
                    "the operation is on its way: only a parked one can be abandoned",
                ));
            }
            Decision::Not(_) => return Err(StartError::Ended("the operation has ended")),
        }
        tx.commit().await?;
        Ok(())
    }

    async fn note(
        &self,
        conn: &mut sqlx::PgConnection,
        operation: &Operation,
        action: &str,
        reason: Option<&Reason>,
        asker: &Asker,
    ) -> Result<(), StartError> {
        let reason = reason.map(Reason::as_str);
        let detail = serde_json::json!({ "operationId": operation.id, "kind": operation.kind });
        self.audit(conn, asker, action, operation.tenant_id, reason, detail)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_taken_up_is_among_the_kinds() {
        let taken_up = include_str!("worker.rs").matches("::NAME => {").count();
        assert_eq!(shapes().len(), taken_up);
    }
}
