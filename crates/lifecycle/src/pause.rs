//! The pause of all background work, asked for by a person.
//!
//! Every process tells the catalog each moment what it is in the middle of, and hears whether there is a pause
//! ([`crate::gate`]). What stops: operations, except those that people need in an emergency
//! ([`Kind::RUNS_WHEN_PAUSED`]), what begins by itself, and what is due. What goes on: serving; freeing what dead routers hold, without which serving would
//! end; and sealing the audit trail, in which the pause itself stands.

use std::time::Duration;

use serde_json::json;
use tenantry_catalog::pause::{self, Pause, Worker};
use tenantry_types::{Reason, metric};
use tokio::time::Instant;

use crate::asker::Asker;
use crate::engine::{Kind, chain_of};
use crate::error::StartError;
use crate::gate::{AtWork, LEASE};
use crate::{EndLogin, IssueLogin, Lifecycle, Suspend};

/// How often a process tells and asks.
const EVERY: Duration = Duration::from_millis(500);
/// How long it is waited for that every process stands still. Longer than the lease of one that died.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether background work is paused, and which processes stand still.
#[derive(Clone, Debug)]
pub struct Paused {
    /// The pause; none: background work goes on.
    pub pause: Option<Pause>,
    /// The processes that do background work.
    pub workers: Vec<Replica>,
}

/// A process that does background work.
#[derive(Clone, Debug)]
pub struct Replica {
    /// What it is called.
    pub name: String,
    /// Whether it has heard how things stand now.
    pub heard: bool,
    /// What it is in the middle of.
    pub at_work: Vec<String>,
}

impl Paused {
    /// Whether the pause is in force: each process has heard of it and is in the middle of nothing.
    #[must_use]
    pub fn in_force(&self) -> bool {
        let still = |one: &Replica| one.heard && one.at_work.is_empty();
        self.pause.is_some() && self.workers.iter().all(still)
    }
}

/// The kinds of operations that begin and go on during a pause: [`Kind::RUNS_WHEN_PAUSED`].
pub(crate) fn kinds_when_paused() -> [&'static str; 3] {
    [Suspend::NAME, IssueLogin::NAME, EndLogin::NAME]
}

/// Tells and asks until the program stops.
pub(crate) async fn run(life: Lifecycle) {
    let gate = &life.0.gate;
    loop {
        let before = gate.standing().0;
        if let Err(error) = tell(&life).await {
            tracing::debug!(error = %chain_of(&error), "could not ask whether background work is paused; trying again");
        }
        // Who waits for our word gets it at once.
        if gate.standing().0 != before {
            continue;
        }
        tokio::select! {
            () = life.0.stopping.cancelled() => break,
            () = life.0.pause_changed.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// What a process does last.
pub(crate) async fn leave(life: &Lifecycle) {
    let left = async {
        let mut conn = life.deps().catalog.acquire().await?;
        pause::leave(&mut conn, life.0.holder).await?;
        Ok::<_, StartError>(())
    };
    if let Err(error) = left.await {
        tracing::debug!(error = %chain_of(&error), "could not sign off; the lease ends by itself");
    }
}

async fn tell(life: &Lifecycle) -> Result<(), StartError> {
    let asked = Instant::now();
    let answer = tokio::time::timeout(LEASE / 2, async {
        let mut conn = life.deps().catalog.acquire().await?;
        // As late as can be: what is told was true when it was written.
        let (heard, at_work) = life.0.gate.standing();
        let worker = Worker {
            name: life.deps().settings.replica.clone(),
            heard,
            at_work,
        };
        Ok::<_, StartError>(pause::tell(&mut conn, life.0.holder, &worker, LEASE).await?)
    });
    let Ok(answer) = answer.await else {
        return Ok(());
    };
    let pause = answer?;
    metrics::gauge!(metric::PAUSED.name).set(f64::from(u8::from(pause.is_some())));
    life.0.gate.hear(asked, pause);
    Ok(())
}

impl Lifecycle {
    /// Begins some background work, unless that is paused. It goes on as long as what is given lives.
    pub(crate) fn at_work(&self, what: &'static str) -> Option<AtWork<'_>> {
        self.0.gate.enter(what)
    }

    /// Waits until background work may begin.
    ///
    /// # Errors
    /// When the program stops before that.
    pub async fn until_unpaused(&self) -> Result<(), Stopping> {
        loop {
            if self.0.gate.is_open() {
                return Ok(());
            }
            tokio::select! {
                () = self.0.stopping.cancelled() => return Err(Stopping),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Refuses what begins an operation of this kind while background work is paused.
    pub(crate) fn may_begin(&self, kind: &str) -> Result<(), StartError> {
        match self.0.gate.pause() {
            Some(pause) if !kinds_when_paused().contains(&kind) => Err(StartError::Paused(pause)),
            _ => Ok(()),
        }
    }

    /// Pauses all background work, and waits until that is so in every process. A pause there is stays as it is.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn pause(&self, reason: &Reason, asker: &Asker) -> Result<Paused, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        if let Some(begun) = pause::begin(&mut tx, &asker.name, reason.as_str()).await? {
            let detail = json!({ "number": begun.number });
            let reason = Some(reason.as_str());
            self.audit(&mut tx, asker, "background.pause", None, reason, detail)
                .await?;
            tx.commit().await?;
            tracing::warn!(by = asker.name, "background work is paused");
        }
        self.0.pause_changed.notify_one();
        self.settled(Paused::in_force).await
    }

    /// Lets background work go on, and waits until every process has heard of it. Without a pause it does nothing.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn unpause(&self, asker: &Asker) -> Result<Paused, StartError> {
        let mut tx = self.deps().catalog.begin().await?;
        if let Some(ended) = pause::end(&mut tx).await? {
            let detail = json!({ "number": ended.number, "since": ended.since });
            self.audit(&mut tx, asker, "background.resume", None, None, detail)
                .await?;
            tx.commit().await?;
            tracing::info!(by = asker.name, "background work goes on");
        }
        self.0.pause_changed.notify_one();
        self.settled(|now| now.workers.iter().all(|one| one.heard))
            .await
    }

    /// Whether background work is paused, as the catalog has it.
    ///
    /// # Errors
    /// When the catalog does not answer.
    pub async fn paused(&self) -> Result<Paused, StartError> {
        let mut conn = self.deps().catalog.acquire().await?;
        let pause = pause::get(&mut conn).await?;
        let number = pause.as_ref().map(|pause| pause.number);
        let workers = pause::workers(&mut conn).await?;
        let workers = workers.into_iter().map(|one| Replica {
            heard: one.heard == number,
            name: one.name,
            at_work: one.at_work,
        });
        Ok(Paused {
            pause,
            workers: workers.collect(),
        })
    }

    /// How it stands when that is so everywhere, or when patience is over.
    async fn settled(&self, enough: impl Fn(&Paused) -> bool) -> Result<Paused, StartError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.paused().await?;
            if enough(&now) || Instant::now() >= deadline {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The program is to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stopping;
