//! Ending connections, off the hot path, without losing their slot before the server is done.
//!
//! Where somebody waits for the slot, the session ends itself and the server's end of file is
//! awaited: that leaves a line in the server's log ("terminating connection due to administrator
//! command") and is certain. Where nobody waits, a quiet `Terminate` is sent, whose effect nobody sees
//! on this connection. Every slot whose end was not seen here is parked: see [`crate::parked`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::connect::{Connector, OpenError};
use crate::generation::Generation;
use crate::pools::{Backend, Open, Slot};
use crate::session;

/// How long a connection that was dropped in use has to show that it is idle.
const IDLE_PROOF: Duration = Duration::from_millis(200);
/// How long a server may take to end a session that it was asked to end.
pub(crate) const END: Duration = Duration::from_secs(5);
/// How long sending a `Terminate` may take, and how long a slot is kept after an attempt to connect that
/// failed on our side.
const LINGER: Duration = Duration::from_secs(1);

/// Ends connections.
#[derive(Debug)]
pub(crate) struct Closer {
    pub(crate) connector: Arc<Connector>,
    /// Connections whose end was not seen within the bounds.
    unseen: AtomicU64,
}

impl Closer {
    pub(crate) fn new(connector: Arc<Connector>) -> Self {
        Self {
            connector,
            unseen: AtomicU64::new(0),
        }
    }

    pub(crate) fn unseen(&self) -> u64 {
        self.unseen.load(Ordering::Relaxed)
    }

    /// Ends an idle connection and waits until the server has.
    pub(crate) async fn close(&self, mut open: Open) {
        let ended = timeout(END, session::end(&mut open.conn)).await;
        self.over(open, matches!(ended, Ok(Ok(()))));
    }

    /// Ends an idle connection that nobody waits for.
    pub(crate) async fn close_quietly(&self, open: Open) {
        let Open {
            conn,
            slot,
            backend,
            ..
        } = open;
        let _ = timeout(LINGER, conn.close()).await;
        let cluster = Arc::clone(&slot.generation.cluster);
        cluster.park(slot, backend);
    }

    /// Keeps a slot for as long as a server may take to notice that its client has gone.
    pub(crate) async fn keep(&self, slot: Slot) {
        tokio::time::sleep(LINGER).await;
        drop(slot);
    }

    /// Finds out in which state a connection was dropped: idle, it goes back to its pool; in a
    /// query or a transaction, it is ended. It counts as a lease until then.
    pub(crate) async fn recover(&self, mut open: Open, lease: u64) {
        let generation = Arc::clone(open.generation());
        let cluster = &generation.cluster;
        let seen;
        match timeout(IDLE_PROOF, session::is_idle(&mut open.conn)).await {
            Ok(Ok(true)) => {
                cluster.lives();
                return cluster.put_back(open, lease);
            }
            Ok(Ok(false)) => {
                let ended = timeout(END, session::abort(&mut open.conn)).await;
                seen = matches!(ended, Ok(Ok(())));
            }
            Ok(Err(sqlx::Error::Database(error))) => {
                // A query that failed after its reader had gone, a transaction that had failed, or
                // the server's last word (class 57) before it closes.
                if error.code().is_some_and(|code| code.starts_with("57P")) {
                    cluster.suspect();
                }
                let ended = timeout(END, session::abort(&mut open.conn)).await;
                seen = matches!(ended, Ok(Ok(())));
            }
            Ok(Err(error)) => {
                tracing::debug!(tenant = %generation.tenant, %error, "a connection came back broken");
                cluster.suspect();
                seen = is_ended(&error);
            }
            Err(_) => {
                self.terminate(&generation, &[open.backend]).await;
                let ended = timeout(END, session::closed(&mut open.conn)).await;
                seen = matches!(ended, Ok(Ok(())));
            }
        }
        cluster.give_up(&generation, lease);
        self.over(open, seen);
    }

    /// Ends backends of a generation on the server, through one more connection of the same login.
    /// `false`: they could not be reached. A login that the server refuses by every password that is
    /// known was fenced, and whoever fenced it has ended its backends.
    pub(crate) async fn terminate(&self, generation: &Generation, backends: &[Backend]) -> bool {
        let Ok(_one) = generation.cluster.reserve.acquire().await else {
            return false;
        };
        let mut conn = match self.log_in(generation).await {
            Ok(conn) => conn,
            Err(OpenError::Refused { .. }) => return true,
            Err(error) => {
                tracing::warn!(
                    tenant = %generation.tenant,
                    error = &error as &dyn std::error::Error,
                    "connections that are to be ended cannot be reached"
                );
                return false;
            }
        };
        let mut all = true;
        for backend in backends {
            let name = &self.connector.application_name;
            let ended = timeout(END, session::terminate(&mut conn, *backend, name)).await;
            all &= matches!(ended, Ok(Ok(())));
        }
        let _ = timeout(END, session::end(&mut conn)).await;
        all
    }

    /// One more connection of a generation's login, by its own password or, when that is refused, by
    /// the one that took over from it: sessions that were opened with the old one live on.
    pub(crate) async fn log_in(&self, generation: &Generation) -> Result<PgConnection, OpenError> {
        let own = &generation.place;
        match (self.connector.open_reserve(own).await, generation.newest()) {
            (Err(OpenError::Refused { .. }), Some(newest)) if newest.has_login_of(own) => {
                self.connector.open_reserve(newest).await
            }
            (opened, _) => opened,
        }
    }

    /// As [`Closer::log_in`], for one who only wants to see whose sessions there are: a login that has
    /// just taken over from a retired one sees the same.
    pub(crate) async fn look_in(&self, generation: &Generation) -> Result<PgConnection, OpenError> {
        let own = &generation.place;
        match (self.log_in(generation).await, generation.newest()) {
            (Err(OpenError::Refused { .. }), Some(newest))
                if newest.is_beside(own) && !newest.has_login_of(own) =>
            {
                self.connector.open_reserve(newest).await
            }
            (opened, _) => opened,
        }
    }

    /// A connection is over here, and on the server if that was seen.
    fn over(&self, open: Open, seen: bool) {
        if seen {
            return;
        }
        let Open {
            conn,
            slot,
            backend,
            ..
        } = open;
        self.unseen.fetch_add(1, Ordering::Relaxed);
        let tenant = slot.generation.tenant;
        tracing::warn!(%tenant, "a connection's end on the server was not seen in time; its slot is kept until it is");
        drop(conn);
        let cluster = Arc::clone(&slot.generation.cluster);
        cluster.park(slot, backend);
    }
}

/// Whether an error of a connection shows that the server has closed its end.
fn is_ended(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    matches!(error, sqlx::Error::Io(error) if matches!(error.kind(), ConnectionReset | UnexpectedEof))
}
