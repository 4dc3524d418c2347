//! Following an operation line by line, whichever process drives it.

use std::collections::VecDeque;
use std::time::Duration;

use tenantry_catalog::journal::{self, Entry};
use tenantry_catalog::operations::{self, Status};
use tenantry_types::OperationId;
use tokio::time::Instant;

use crate::Lifecycle;
use crate::engine::Failure;
use crate::error::StartError;

/// How soon the journal is read again after it went on, and how seldom while nothing happens.
const SOON: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(1);

/// What a follower is told.
#[derive(Clone, Debug)]
pub enum Followed {
    /// A line of the journal.
    Line(Entry),
    /// How it ended, and why where it did not reach its goal. Nothing comes after this.
    End(Status, Option<Failure>),
}

/// An operation that somebody follows.
pub struct Following {
    life: Lifecycle,
    operation: OperationId,
    seen: i32,
    until: Instant,
    pause: Duration,
    ready: VecDeque<Followed>,
    over: bool,
}

impl Lifecycle {
    /// Follows an operation from behind a line of its journal, for so long; `None`: there is none.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn follow(
        &self,
        operation: OperationId,
        seen: i32,
        longest: Duration,
    ) -> Result<Option<Following>, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let found = operations::by_id(&mut conn, operation).await?;
        Ok(found.map(|_| Following {
            life: self.clone(),
            operation,
            seen,
            until: Instant::now() + longest,
            pause: SOON,
            ready: VecDeque::new(),
            over: false,
        }))
    }
}

impl Following {
    /// What happened next; `None` after the end, when the time is over, or when the program stops.
    /// A catalog that does not answer is waited for.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Some(next);
            }
            if self.over || Instant::now() >= self.until {
                return None;
            }
            let before = self.seen;
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "an operation could not be followed; trying again");
            }
            self.pause = match self.seen > before {
                true => SOON,
                false => (self.pause * 2).min(SELDOM),
            };
            if self.ready.is_empty() {
                tokio::select! {
                    () = self.life.0.stopping.cancelled() => return None,
                    () = tokio::time::sleep(self.pause) => {}
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), StartError> {
        let mut conn = self.life.deps().catalog.acquire().await?;
        // First how it stands, then its lines: what is told with the end is then all there is.
        let operation = operations::by_id(&mut conn, self.operation).await?;
        for entry in journal::after(&mut conn, self.operation, self.seen).await? {
            self.seen = entry.seq;
            self.ready.push_back(Followed::Line(entry));
        }
        drop(conn);
        let Some(operation) = operation else {
            self.over = true;
            return Ok(());
        };
        if matches!(
            operation.status,
            Status::Done | Status::Failed | Status::Parked
        ) {
            self.over = true;
            let failure = operation
                .error
                .and_then(|error| serde_json::from_value(error).ok());
            self.ready
                .push_back(Followed::End(operation.status, failure));
        }
        Ok(())
    }
}
