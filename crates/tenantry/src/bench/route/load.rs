//! Clients that ask as fast as they are answered, or with a pause in between.

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
/// Clients that ask every host once.
const AT_ONCE: usize = 8;

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Which host a client asks.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Its own: clients are spread evenly over the hosts.
    Spread,
    /// Any, the first ones much more often than the last; and how long it waits after an answer, on
    /// average.
    Zipf(Arc<Zipf>, Duration),
}

/// Zipf's law: the host of rank `k` is asked for in proportion to `1 / k^s`.
#[derive(Debug)]
pub struct Zipf {
    /// The sums of the weights up to each rank, of a whole of 1.
    sums: Vec<f64>,
}

/// One client's sequence of choices: the same in every turn, so that both sides get the same load.
struct Choices {
    client: usize,
    /// SplitMix64 (Steele, Lea and Flood, 2014).
    state: u64,
}

impl Zipf {
    /// Over this many hosts, with this exponent.
    #[expect(clippy::cast_precision_loss, reason = "a rank")]
    pub fn new(hosts: usize, exponent: f64) -> Self {
        let weights = (1..=hosts).map(|rank| (rank as f64).powf(-exponent));
        let mut sum = 0.0;
        let mut sums: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        for part in &mut sums {
            *part /= sum;
        }
        Self { sums }
    }

    /// The host at a part of the whole, from 0 to 1.
    fn at(&self, part: f64) -> usize {
        let rank = self.sums.partition_point(|sum| *sum <= part);
        rank.min(self.sums.len().saturating_sub(1))
    }
}

impl Choices {
    fn of(client: usize) -> Self {
        Self {
            client,
            state: client as u64,
        }
    }

    fn host(&mut self, choice: &Choice, hosts: usize) -> usize {
        match choice {
            Choice::Spread => self.client % hosts,
            Choice::Zipf(zipf, _) => zipf.at(self.part()),
        }
    }

    /// From half of the pause to one and a half of it, so that clients do not march in step.
    fn pause(&mut self, choice: &Choice) -> Option<Duration> {
        match choice {
            Choice::Zipf(_, pause) if !pause.is_zero() => Some(pause.mul_f64(0.5 + self.part())),
            _ => None,
        }
    }

    /// A number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn part(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Loads a server for `time` and counts the answers that came within it.
pub async fn turn(target: &Target, choice: &Choice, clients: u32, time: Duration) -> Result<Turn> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut running = JoinSet::new();
    for client in 0..clients as usize {
        let connection = stage::open(target).await?;
        running.spawn(ask(
            connection,
            Arc::clone(&target.requests),
            Choices::of(client),
            choice.clone(),
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

/// Asks every host once.
pub async fn each_once(target: &Target) -> Result<()> {
    let mut running = JoinSet::new();
    for first in 0..AT_ONCE {
        let mut connection = stage::open(target).await?;
        let requests = Arc::clone(&target.requests);
        running.spawn(async move {
            for of_host in requests.iter().skip(first).step_by(AT_ONCE) {
                let answer = connection.send(&of_host[0]).await;
                let answer = answer.map_err(|error| no_answer(&error))?;
                stage::check(answer.status, answer.body)?;
            }
            Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|error| Failure::because("a client of the load failed", &error))??;
    }
    Ok(())
}

/// One client, on one connection.
async fn ask(
    mut connection: Connection,
    requests: Arc<[Vec<Vec<u8>>]>,
    mut choices: Choices,
    choice: Choice,
    phase: Arc<AtomicU8>,
) -> Result<Vec<Duration>> {
    let mut durations = Vec::with_capacity(16_384);
    let mut next = choices.client;
    loop {
        let of_host = &requests[choices.host(&choice, requests.len())];
        let request = &of_host[next % of_host.len()];
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
        if let Some(pause) = choices.pause(&choice) {
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_host_is_asked_as_often_as_zipf_says() {
        let choice = Choice::Zipf(Arc::new(Zipf::new(3, 1.0)), Duration::ZERO);
        let mut counts = [0_u32; 3];
        let mut choices = Choices::of(7);
        for _ in 0..11_000 {
            counts[choices.host(&choice, 3)] += 1;
        }
        // 1, 1/2 and 1/3 of 11/6.
        for (count, expected) in counts.into_iter().zip([6_000_u32, 3_000, 2_000]) {
            assert!(count.abs_diff(expected) < 300, "{counts:?}");
        }
    }
}
