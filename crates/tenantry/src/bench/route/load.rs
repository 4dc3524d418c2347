//! Clients that ask as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::stage::{self, Target};
use crate::bench::http::Connection;
use crate::bench::report::Turn;
use crate::bench::world::no_answer;
use crate::failure::{Failure, Result};

/// Load before the clock runs: connections are opened, statements prepared.
const WARM_UP: Duration = Duration::from_millis(500);

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Loads a server for `time` and counts the answers that came within it.
pub async fn turn(target: &Target, clients: u32, time: Duration) -> Result<Turn> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut running = JoinSet::new();
    let tenants = target.requests.iter().cycle();
    for (client, requests) in (0..clients as usize).zip(tenants) {
        let connection = stage::open(target).await?;
        running.spawn(ask(
            connection,
            requests.clone(),
            client,
            Arc::clone(&phase),
        ));
    }
    tokio::time::sleep(WARM_UP.min(time)).await;
    let before = target.watch.read();
    phase.store(COUNTING, Ordering::Release);
    let began = Instant::now();
    tokio::time::sleep(time).await;
    phase.store(OVER, Ordering::Release);
    let took = began.elapsed();
    let after = target.watch.read();
    let mut durations = Vec::new();
    while let Some(ended) = running.join_next().await {
        let of_one =
            ended.map_err(|error| Failure::because("a client of the load failed", &error))??;
        durations.extend(of_one);
    }
    let cpu = after.zip(before);
    Ok(Turn {
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        value: durations.len() as f64 / took.as_secs_f64(),
        cpu: cpu.map(|(after, before)| after.since(before, durations.len())),
        durations,
    })
}

/// One client, on one connection.
async fn ask(
    mut connection: Connection,
    requests: Vec<Vec<u8>>,
    first: usize,
    phase: Arc<AtomicU8>,
) -> Result<Vec<Duration>> {
    let mut durations = Vec::with_capacity(16_384);
    let mut next = first;
    loop {
        let request = &requests[next % requests.len()];
        next += 1;
        let began = Instant::now();
        let answer = connection
            .send(request)
            .await
            .map_err(|error| no_answer(&error))?;
        stage::check(answer.status, answer.body)?;
        match phase.load(Ordering::Acquire) {
            WARMING => {}
            COUNTING => durations.push(began.elapsed()),
            _ => return Ok(durations),
        }
    }
}
