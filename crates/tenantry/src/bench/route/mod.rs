//! `tenantry bench route`: what it costs to find the right database for every request.

pub mod app;
mod cold;
mod load;
mod resolution;
mod stage;

use std::time::Duration;

use self::stage::Stage;
use super::Settings;
use super::environment::{Environment, Machine};
use super::pairs::backwards;
use super::report::{Figure, Turn, Unit, Wanted};
use super::room::Room;
use super::world::World;
use crate::failure::Result;
use crate::output::note;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Sizes {
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
}

/// Measures throughput, cold first requests and resolution.
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
    let stage = Stage::set(room, &world, sizes).await?;
    let mut figures = Vec::new();
    for clients in &sizes.clients {
        figures.extend(throughput(&stage, settings.pairs, *clients, sizes.time).await?);
    }
    figures.push(cold(&stage, settings.pairs, sizes.cold).await?);
    figures.extend(resolution(&stage, settings.pairs, sizes.resolutions).await?);
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
            turns.push(load::turn(target, clients, time).await?);
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
