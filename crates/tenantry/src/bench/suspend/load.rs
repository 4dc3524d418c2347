//! Clients that ask without a pause, and note at which moment each answer was made. The servers put the
//! moment into it, by the clock of this machine, which is the one that the end of a call is read by: an
//! answer that lay in a client's socket meanwhile is not taken for one that came late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tenantry_types::Clock;
use tokio::task::JoinSet;

use super::served_late;
use crate::bench::http::{Connection, request};
use crate::bench::world::{lacks, unexpected};
use crate::failure::{Failure, Result};

/// Before a client that was refused asks again.
const PAUSE: Duration = Duration::from_millis(1);
/// How often the clients are looked at.
const TICK: Duration = Duration::from_millis(1);

/// The load, until [`Load::end`].
pub(super) struct Load {
    clients: Vec<Arc<Client>>,
    running: JoinSet<Result<()>>,
}

/// What one client has seen.
#[derive(Default)]
struct Client {
    /// Answers that served it.
    served: AtomicU64,
    /// Answers of whatever kind.
    answered: AtomicU64,
    /// When the newest of those that served it was made.
    newest: AtomicI64,
    over: AtomicBool,
}

/// Now, in nanoseconds since 1970, as the servers read it.
pub(super) fn now() -> i64 {
    Clock::system()
        .now()
        .timestamp_nanos_opt()
        .unwrap_or_default()
}

impl Load {
    /// So many clients of each server.
    pub(super) fn begin(servers: &[SocketAddr], host: &str, clients: u32) -> Result<Self> {
        let mut load = Self {
            clients: Vec::new(),
            running: JoinSet::new(),
        };
        let asked = request("GET", "/moments/7", host, None, None);
        for server in servers {
            for _ in 0..clients {
                let client = Arc::new(Client::default());
                load.clients.push(Arc::clone(&client));
                load.running.spawn(ask(*server, asked.clone(), client));
            }
        }
        match load.clients.is_empty() {
            true => Err(lacks("client")),
            false => Ok(load),
        }
    }

    /// Waits until every client is served again.
    pub(super) async fn served(&self, patience: Duration) -> Result<()> {
        self.each_further(patience, |client| &client.served).await
    }

    /// Lets the clients go on asking, each more than once, and looks whether one was served.
    pub(super) async fn nothing_served_since(&self, moment: i64, time: Duration) -> Result<()> {
        tokio::time::sleep(time).await;
        for _ in 0..2 {
            self.each_further(super::PATIENCE, |client| &client.answered)
                .await?;
        }
        let newest = self
            .clients
            .iter()
            .map(|client| client.newest.load(Ordering::Acquire));
        match newest.max().unwrap_or_default() - moment {
            late if late > 0 => Err(served_late(Duration::from_nanos(late.unsigned_abs()))),
            _ => Ok(()),
        }
    }

    /// Ends it.
    pub(super) async fn end(mut self) -> Result<()> {
        for client in &self.clients {
            client.over.store(true, Ordering::Release);
        }
        while let Some(ended) = self.running.join_next().await {
            ended.map_err(|error| Failure::because("a client of the load failed", &error))??;
        }
        Ok(())
    }

    async fn each_further(
        &self,
        patience: Duration,
        which: fn(&Client) -> &AtomicU64,
    ) -> Result<()> {
        let read = |client: &Arc<Client>| which(client).load(Ordering::Acquire);
        let before: Vec<u64> = self.clients.iter().map(read).collect();
        let deadline = Instant::now() + patience;
        while self
            .clients
            .iter()
            .zip(&before)
            .any(|(client, before)| read(client) <= *before)
        {
            if Instant::now() > deadline {
                return Err(lacks("answer to a client of the load"));
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }
}

/// One client. A connection that was ended under it is opened anew.
async fn ask(server: SocketAddr, asked: Vec<u8>, client: Arc<Client>) -> Result<()> {
    let mut open: Option<Connection> = None;
    while !client.over.load(Ordering::Acquire) {
        let connection = match &mut open {
            Some(connection) => connection,
            None => open.insert(
                Connection::open(server)
                    .await
                    .map_err(|error| Failure::because("a router did not accept", &error))?,
            ),
        };
        let refused = match connection.send(&asked).await {
            Ok(answer) if answer.status == 200 => {
                let told: Value = serde_json::from_slice(answer.body).unwrap_or_default();
                let moment = told.get("moment").and_then(Value::as_i64);
                let moment =
                    moment.ok_or_else(|| unexpected("a request of the load", 200, answer.body))?;
                client.newest.fetch_max(moment, Ordering::AcqRel);
                client.served.fetch_add(1, Ordering::AcqRel);
                false
            }
            // 500 is what the handler makes of a statement whose session was ended.
            Ok(answer) if matches!(answer.status, 403 | 500 | 503) => true,
            Ok(answer) => {
                return Err(unexpected(
                    "a request of the load",
                    answer.status,
                    answer.body,
                ));
            }
            Err(_) => {
                open = None;
                true
            }
        };
        client.answered.fetch_add(1, Ordering::AcqRel);
        if refused {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}
