//! What it costs to find a tenant in a catalog of few and of many.

use std::time::Duration;

use super::stage::{self, Server};
use super::{Sizes, catalog::Copy};
use crate::bench::Settings;
use crate::bench::pairs::backwards;
use crate::bench::report::{Figure, Turn, Unit, Wanted};
use crate::bench::room::Room;
use crate::bench::world::{World, lacks};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::note;

/// What the large catalog is compared with.
pub const FEW: u32 = 1_000;

/// The same number of first resolutions in both catalogs.
///
/// # Errors
/// When a part is refused, or there are more misses than tenants that nobody asked for yet.
pub async fn measure(
    room: &Room,
    world: &World,
    settings: &Settings,
    sizes: &Sizes,
) -> Result<Figure> {
    let few = FEW.min(sizes.catalog);
    if (settings.pairs + 1) * sizes.misses > few {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{} pairs of {} misses, and one more to begin with, are more than the {few} tenants of the small catalog",
                settings.pairs, sizes.misses
            ),
        ));
    }
    stage::tenants(world, "miss", 1, 0).await?;
    let mut sides = Vec::new();
    for (name, tenants) in [("many", sizes.catalog), ("few", few)] {
        note(&format!("route, misses: a catalog of {tenants} tenants"));
        let copy = Copy::make(world, &format!("bench_{name}_rows"), "miss-0", tenants).await?;
        let url = copy.url(world)?.expose().to_owned();
        let more = [("TENANTRY_CATALOG_URL".to_owned(), url)];
        let server = stage::routed(room, world, &format!("{name}-rows"), &more).await?;
        sides.push((server, tenants, Vec::new()));
    }
    for pair in 0..=settings.pairs {
        let order = if backwards(pair) { [1, 0] } else { [0, 1] };
        for side in order {
            let (server, tenants, turns) = &mut sides[side];
            let first = pair * sizes.misses;
            let turn = turn(world, server, *tenants, first, sizes.misses).await?;
            // The first ones prepare statements and open connections.
            if pair > 0 {
                turns.push(turn);
            }
        }
    }
    Ok(Figure::new(
        "route/misses",
        Unit::Milliseconds,
        ("a miss in the large catalog", &sides[0].2),
        ("a miss in the small one", &sides[1].2),
        Wanted::RatioAtMost(2.0),
    ))
}

async fn turn(
    world: &World,
    server: &Server,
    tenants: u32,
    first: u32,
    number: u32,
) -> Result<Turn> {
    let watch = world.watch(Some(server.running.pid));
    let before = watch.read();
    let path = format!(
        "/misses/{first}/{number}?base={}&tenants={tenants}",
        world.host
    );
    let told = stage::ask(server.address, "GET", &path, &world.host).await?;
    let told: Vec<u64> = serde_json::from_value(told).map_err(|_| lacks("list of times"))?;
    let durations: Vec<Duration> = told.into_iter().map(Duration::from_nanos).collect();
    let cpu = watch.read().zip(before);
    let cpu = cpu.map(|(after, before)| after.since(before, durations.len()));
    Ok(Turn::of_requests(durations, cpu))
}
