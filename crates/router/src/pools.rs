//! What a pool holds: a connection with its slot, idle or leased.
//!
//! A slot follows its connection until the server has ended it. Whoever drops a lease gives the
//! connection back; nobody outside of this crate ever holds a bare [`Open`].

use std::fmt;
use std::sync::Arc;

use sqlx::PgConnection;
use tokio::time::Instant;

use crate::generation::Generation;

/// A server process, as far as we know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Its process id.
    pub(crate) pid: i32,
}

/// Room for one connection of one generation on its cluster. Dropped when the server has ended it.
pub(crate) struct Slot {
    pub(crate) generation: Arc<Generation>,
    /// The share of the cluster's budget that it is part of.
    incarnation: i64,
    phase: Phase,
}

/// What a slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A connection is being opened, or the server may still be busy with an attempt.
    Opening,
    /// It is open.
    Open,
    /// It was idle and is being closed, and its end waited for.
    Closing,
    /// The server did not answer an attempt in time, and may still do so: see [`crate::late`].
    Late,
    /// It is of no use any more, and its end was not seen, or is not waited for where it is closed: see
    /// [`crate::parked`].
    Parked,
}

impl Slot {
    /// For the cluster's state alone, which has counted it.
    pub(crate) fn new(generation: Arc<Generation>, incarnation: i64) -> Self {
        Self {
            generation,
            incarnation,
            phase: Phase::Opening,
        }
    }

    /// For the cluster alone, which counts it accordingly. Gives what it was.
    pub(crate) fn become_phase(&mut self, phase: Phase) -> Phase {
        std::mem::replace(&mut self.phase, phase)
    }
}

impl Slot {
    /// See [`tenantry_catalog::shares::Share::incarnation`].
    pub(crate) fn incarnation(&self) -> i64 {
        self.incarnation
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.generation
            .cluster
            .slot_free(&self.generation, self.phase);
    }
}

/// An open, proven connection. The connection comes before its slot: it is dropped first.
pub(crate) struct Open {
    pub(crate) conn: PgConnection,
    pub(crate) backend: Backend,
    pub(crate) opened_at: Instant,
    pub(crate) idle_since: Instant,
    /// It was open, its login over, at a moment at which our lease in the catalog ran: whoever ended our
    /// connections since, ended it.
    pub(crate) witness: bool,
    pub(crate) slot: Slot,
}

impl Open {
    /// What was just opened in a slot.
    pub(crate) fn new(conn: PgConnection, backend: Backend, slot: Slot) -> Self {
        let now = Instant::now();
        Self {
            conn,
            backend,
            opened_at: now,
            idle_since: now,
            witness: false,
            slot,
        }
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.slot.generation
    }

    /// See [`tenantry_catalog::shares::Share::incarnation`].
    pub(crate) fn incarnation(&self) -> i64 {
        self.slot.incarnation()
    }
}

/// An open connection in somebody's hands.
pub(crate) struct Lease {
    open: Option<Open>,
    number: u64,
    used: bool,
    /// Something was asked, and the answer was read.
    answered: bool,
    /// It was in use a moment ago, or is new: no need to ask whether it is alive.
    pub(crate) trusted: bool,
}

impl Lease {
    /// For the cluster's state alone, which has recorded it.
    pub(crate) fn new(open: Open, number: u64) -> Self {
        Self {
            open: Some(open),
            number,
            used: false,
            answered: false,
            trusted: true,
        }
    }

    /// From now on a drop must find out in which state the connection was left.
    pub(crate) fn mark_used(&mut self) {
        self.used = true;
    }

    /// The caller has left the connection as it found it. `answered`: and was answered what it asked.
    pub(crate) fn put_back(mut self, answered: bool) {
        self.used = false;
        self.answered = answered;
    }

    pub(crate) fn generation(&self) -> &Arc<Generation> {
        self.get().generation()
    }

    pub(crate) fn get(&self) -> &Open {
        #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
        self.open
            .as_ref()
            .expect("a lease holds its connection until it is dropped")
    }

    pub(crate) fn get_mut(&mut self) -> &mut Open {
        #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
        self.open
            .as_mut()
            .expect("a lease holds its connection until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let cluster = Arc::clone(&open.generation().cluster);
        if self.used {
            cluster.tasks.recover(open, self.number);
        } else {
            cluster.give_back(open, self.number, self.answered);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("tenant", &self.generation().tenant)
            .field("pid", &self.get().backend.pid)
            .finish_non_exhaustive()
    }
}
