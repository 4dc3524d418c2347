//! First requests, one after another, each after everything that could help it was forgotten.

use std::time::{Duration, Instant};

use super::stage::{self, Target};
use crate::bench::http::request;
use crate::bench::report::Turn;
use crate::bench::world::no_answer;
use crate::failure::Result;

/// Between forgetting and asking: the connection of the request before is closed meanwhile.
const SETTLE: Duration = Duration::from_millis(20);

/// Asks for a row over a connection to Postgres that has to be opened first.
pub async fn turn(target: &Target, path: &str, requests: u32) -> Result<Turn> {
    let mut http = stage::open(target).await?;
    let host = &target.hosts[0];
    let forget = request("POST", "/forget", host, None, None);
    let ask = request("GET", path, host, None, None);
    let before = target.watch.read();
    let mut durations = Vec::new();
    for _ in 0..requests {
        let answer = http
            .send(&forget)
            .await
            .map_err(|error| no_answer(&error))?;
        stage::check(answer.status, answer.body)?;
        tokio::time::sleep(SETTLE).await;
        let began = Instant::now();
        let answer = http.send(&ask).await.map_err(|error| no_answer(&error))?;
        durations.push(began.elapsed());
        stage::check(answer.status, answer.body)?;
    }
    let cpu = target.watch.read().zip(before);
    let cpu = cpu.map(|(after, before)| after.since(before, durations.len()));
    Ok(Turn::of_requests(durations, cpu))
}
