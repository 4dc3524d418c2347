//! A tenant that is served all the while: clients that read and clients that write, each with a pause after
//! every answer, so that the load is the same whether it is answered soon or late.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bench::http::{Connection, request};
use crate::bench::route::stage;
use crate::bench::world::{lacks, no_answer};
use crate::failure::{Failure, Result};

/// How long a client may be without an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the clients are looked at.
const TICK: Duration = Duration::from_millis(5);

/// The load, until [`Load::end`].
pub(super) struct Load {
    noted: Arc<Noted>,
    running: JoinSet<Result<()>>,
}

/// How long requests took.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    /// Those that read a row.
    pub reading: Vec<Duration>,
    /// Those that changed one, and waited for the disk.
    pub writing: Vec<Duration>,
}

#[derive(Default)]
struct Noted {
    times: Mutex<Times>,
    over: AtomicBool,
}

impl Noted {
    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// So many clients that read, and as many that write.
    pub(super) async fn begin(
        server: SocketAddr,
        host: &str,
        clients: u32,
        pause: Duration,
    ) -> Result<Self> {
        let mut load = Self {
            noted: Arc::default(),
            running: JoinSet::new(),
        };
        for client in 0..clients {
            // Each its own row: they do not wait for each other.
            let row = client % stage::NOTES + 1;
            for writes in [false, true] {
                let asked = match writes {
                    true => request("POST", &format!("/notes/{row}"), host, None, None),
                    false => request("GET", &format!("/notes/{row}"), host, None, None),
                };
                let connection = Connection::open(server).await;
                let connection = connection.map_err(|error| no_answer(&error))?;
                let noted = Arc::clone(&load.noted);
                load.running
                    .spawn(ask(connection, asked, writes, pause, noted));
            }
        }
        Ok(load)
    }

    /// How long requests take while something is done, of which some are waited for.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(T, Times)> {
        drop(std::mem::take(&mut *self.noted.times()));
        let done = work.await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.running.try_join_next() {
                over(ended)?;
                return Err(lacks("client"));
            }
            {
                let mut times = self.noted.times();
                if !times.reading.is_empty() && !times.writing.is_empty() {
                    return Ok((done, std::mem::take(&mut *times)));
                }
            }
            if Instant::now() > deadline {
                return Err(lacks("answer to a client of the load"));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Ends it.
    pub(super) async fn end(mut self) -> Result<()> {
        self.noted.over.store(true, Ordering::Release);
        while let Some(ended) = self.running.join_next().await {
            over(ended)?;
        }
        Ok(())
    }
}

fn over(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.map_err(|error| Failure::because("a client of the load failed", &error))?
}

/// One client, on one connection.
async fn ask(
    mut connection: Connection,
    asked: Vec<u8>,
    writes: bool,
    pause: Duration,
    noted: Arc<Noted>,
) -> Result<()> {
    while !noted.over.load(Ordering::Acquire) {
        let began = Instant::now();
        let answer = connection.send(&asked).await;
        let answer = answer.map_err(|error| no_answer(&error))?;
        stage::check(answer.status, answer.body)?;
        let took = began.elapsed();
        {
            let mut times = noted.times();
            match writes {
                true => times.writing.push(took),
                false => times.reading.push(took),
            }
        }
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
