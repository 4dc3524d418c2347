//! Resolution alone: a loop inside the routed server, so that nothing but it is measured.

use serde::{Deserialize, Serialize};

use super::stage::{self, Target};
use crate::bench::http::request;
use crate::bench::report::Turn;
use crate::bench::world::no_answer;
use crate::failure::{Failure, Result};

/// Nanoseconds of one call each, as the server under test tells them.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Told {
    /// Host header to route.
    pub header: f64,
    /// Parsed host name to route.
    pub host: f64,
    /// A look into a map, for scale.
    pub map: f64,
}

/// One turn of each loop.
pub struct Times {
    /// Host header to route.
    pub header: Turn,
    /// Parsed host name to route.
    pub host: Turn,
    /// A look into a map, for scale.
    pub map: Turn,
}

/// Has the server run its loops.
pub async fn turn(target: &Target, number: u32) -> Result<Times> {
    let mut http = stage::open(target).await?;
    let path = format!("/resolution/{number}");
    let hosts = target.hosts.join(",");
    let path = format!("{path}?hosts={hosts}");
    let ask = request("GET", &path, &target.hosts[0], None, None);
    let answer = http.send(&ask).await.map_err(|error| no_answer(&error))?;
    stage::check(answer.status, answer.body)?;
    let told: Told = serde_json::from_slice(answer.body)
        .map_err(|error| Failure::because("the loop of resolutions told no times", &error))?;
    let turn = |value| Turn {
        value,
        durations: Vec::new(),
        cpu: None,
    };
    Ok(Times {
        header: turn(told.header),
        host: turn(told.host),
        map: turn(told.map),
    })
}
