//! `tenantry bench route`: what it costs to find the right database for every request.

pub mod app;
mod catalog;
mod cold;
mod fleet;
mod known;
mod load;
mod misses;
mod resolution;
pub(super) mod stage;

use std::time::Duration;

use serde::Serialize;

use self::known::Known;
use self::load::Choice;
use self::stage::Stage;
use super::Settings;
use super::environment::{Environment, Machine};
use super::pairs::backwards;
use super::report::{Figure, Turn, Unit, Wanted};
use super::room::Room;
use super::world::World;
use crate::failure::Result;
use crate::output::note;

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The same handler on the router and on one hard-wired pool
    Throughput,
    /// The first request of a tenant that the router knows nothing of
    Cold,
    /// From a host header to a known tenant's route
    Resolution,
    /// A few tenants under load, alone and among many known ones
    HotAmongMany,
    /// Processor time of a router at rest that knows many tenants
    Idle,
    /// Memory of a router that knows many tenants
    Memory,
    /// Finding a tenant in a large catalog
    Misses,
    /// Many tenants on few connections
    Budget,
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// What is measured.
    pub only: Vec<Scenario>,
    /// Clients at the same time, one measurement for each number.
    pub clients: Vec<u32>,
    /// How long a side is loaded in one turn.
    pub time: Duration,
    /// Tenants.
    pub tenants: u32,
    /// Connections of each tenant; the hard-wired pool has as many as all together.
    pub per_tenant: u32,
    /// Cold first requests in one turn.
    pub cold: u32,
    /// Resolutions in one turn.
    pub resolutions: u32,
    /// Tenants that are asked for among many known ones.
    pub hot: u32,
    /// Tenants that a router knows.
    pub known: u32,
    /// How long a router is left alone in one turn.
    pub idle: Duration,
    /// Tenants of the large catalog.
    pub catalog: u32,
    /// First resolutions in one turn.
    pub misses: u32,
    /// Tenants with few connections.
    pub fleet: u32,
    /// Connections that they may have open.
    pub budget: u32,
    /// How much more often the first of them are asked for.
    pub zipf: f64,
    /// Clients that ask for them.
    pub fleet_clients: u32,
    /// How long a client of theirs waits between two requests.
    pub pause: Duration,
}

impl Sizes {
    fn wants(&self, scenarios: &[Scenario]) -> bool {
        scenarios
            .iter()
            .any(|scenario| self.only.contains(scenario))
    }
}

/// Measures what was asked for.
///
/// # Errors
/// When a side fails or gives a wrong answer.
pub async fn measure(
    room: &Room,
    settings: &Settings,
    sizes: &Sizes,
) -> Result<(Environment, Vec<Figure>)> {
    let machine = Machine::now();
    // A token that was issued at the beginning is still good at the end.
    let long = [("TENANTRY_ACCESS_TOKEN_TTL", "12h")];
    let world = World::start(room, "dev", settings, &long).await?;
    let environment = world.environment(machine).await?;
    let mut figures = Vec::new();
    if sizes.wants(&[Scenario::Throughput, Scenario::Cold, Scenario::Resolution]) {
        let stage = Stage::set(room, &world, sizes).await?;
        if sizes.wants(&[Scenario::Throughput]) {
            for clients in &sizes.clients {
                figures.extend(throughput(&stage, settings.pairs, *clients, sizes.time).await?);
            }
        }
        if sizes.wants(&[Scenario::Cold]) {
            figures.push(cold(&stage, settings.pairs, sizes.cold).await?);
        }
        if sizes.wants(&[Scenario::Resolution]) {
            figures.extend(resolution(&stage, settings.pairs, sizes.resolutions).await?);
        }
    }
    if sizes.wants(&[
        Scenario::Resolution,
        Scenario::HotAmongMany,
        Scenario::Idle,
        Scenario::Memory,
    ]) {
        let known = Known::set(room, &world, sizes).await?;
        if sizes.wants(&[Scenario::Resolution]) {
            figures.push(known.resolution(settings).await?);
        }
        if sizes.wants(&[Scenario::HotAmongMany]) {
            figures.extend(known.hot(settings).await?);
        }
        if sizes.wants(&[Scenario::Idle]) {
            figures.push(known.idle(settings).await?);
        }
        if sizes.wants(&[Scenario::Memory]) {
            figures.push(known.memory(settings).await?);
        }
    }
    if sizes.wants(&[Scenario::Misses]) {
        figures.push(misses::measure(room, &world, settings, sizes).await?);
    }
    if sizes.wants(&[Scenario::Budget]) {
        figures.extend(fleet::measure(room, settings, sizes).await?);
    }
    Ok((environment, figures))
}

/// The same handler on the router and on one hard-wired pool; and the whole product's `GET /me`.
async fn throughput(
    stage: &Stage<'_>,
    pairs: u32,
    clients: u32,
    time: Duration,
) -> Result<Vec<Figure>> {
    let (mut routed, mut wired, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        note(&format!(
            "route, {clients} clients: pair {} of {pairs}",
            pair + 1
        ));
        let mut order = [0, 1, 2];
        if backwards(pair) {
            order.reverse();
        }
        for side in order {
            let (target, turns): (_, &mut Vec<Turn>) = match side {
                0 => (&stage.routed, &mut routed),
                1 => (&stage.wired, &mut wired),
                _ => (&stage.whole, &mut whole),
            };
            turns.push(load::turn(target, &Choice::Spread, clients, time).await?);
        }
    }
    let bare = ("axum with one hard-wired pool", wired.as_slice());
    Ok(vec![
        Figure::new(
            format!("route/throughput/{clients}"),
            Unit::PerSecond,
            ("axum with the router's layer", &routed),
            bare,
            Wanted::RatioAtLeast(0.95),
        ),
        Figure::new(
            format!("route/me/{clients}"),
            Unit::PerSecond,
            ("the whole product: GET /me with a token", &whole),
            bare,
            Wanted::Nothing,
        ),
    ])
}

/// The first request of a tenant that the router knows nothing of and has no connection to.
async fn cold(stage: &Stage<'_>, pairs: u32, requests: u32) -> Result<Figure> {
    let (mut routed, mut wired) = (Vec::new(), Vec::new());
    cold::turn(&stage.routed, stage.connect_path(true), requests.min(3)).await?;
    cold::turn(&stage.wired, stage.connect_path(false), requests.min(3)).await?;
    for pair in 0..pairs {
        note(&format!("route, cold: pair {} of {pairs}", pair + 1));
        for routed_now in [!backwards(pair), backwards(pair)] {
            let (target, turns): (_, &mut Vec<Turn>) = if routed_now {
                (&stage.routed, &mut routed)
            } else {
                (&stage.wired, &mut wired)
            };
            let path = stage.connect_path(routed_now);
            turns.push(cold::turn(target, path, requests).await?);
        }
    }
    Ok(Figure::new(
        "route/cold",
        Unit::Milliseconds,
        ("the first request of a cold tenant", &routed),
        ("connect (4,096 rounds) and the same query", &wired),
        Wanted::RatioAtMost(1.1),
    ))
}

/// From a host header to a tenant's route, warm.
async fn resolution(stage: &Stage<'_>, pairs: u32, number: u32) -> Result<Vec<Figure>> {
    let (mut whole, mut alone, mut map) = (Vec::new(), Vec::new(), Vec::new());
    resolution::turn(&stage.routed, number).await?;
    // As in a router that has run for a while: something has changed since these were read.
    stage.change_another().await?;
    for pair in 0..pairs {
        note(&format!("route, resolution: pair {} of {pairs}", pair + 1));
        let times = resolution::turn(&stage.routed, number).await?;
        whole.push(times.header);
        alone.push(times.host);
        map.push(times.map);
    }
    let bare = ("one look into a HashMap", map.as_slice());
    Ok(vec![
        Figure::new(
            "route/resolution",
            Unit::Nanoseconds,
            ("host header to route", &whole),
            bare,
            Wanted::ValueAtMost(500.0),
        ),
        Figure::new(
            "route/resolution/parsed",
            Unit::Nanoseconds,
            ("parsed host name to route", &alone),
            bare,
            Wanted::Nothing,
        ),
    ])
}
