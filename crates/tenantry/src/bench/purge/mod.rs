//! `tenantry bench purge`: what a served tenant notices while many others on its server are purged, and how
//! fast that goes.

mod by_hand;
mod load;

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use self::by_hand::ByHand;
use self::load::{Load, Times};
use super::Settings;
use super::environment::{Environment, Machine};
use super::http::Connection;
use super::pairs::{backwards, percentile};
use super::report::{Figure, Turn, Unit, Wanted};
use super::room::Room;
use super::route::stage;
use super::world::{World, lacks, run};
use crate::failure::{Failure, Result};
use crate::output::note;

/// By how much a served tenant's 99th percentile may rise.
const GOAL: f64 = 1.5;
/// What is purged before the first pair.
const WARM_UP: u32 = 2;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Tenants that are purged in all; each pair has an equal part.
    pub tenants: u32,
    /// Purges at a time.
    pub at_once: u32,
    /// Clients of the served tenant that read, and as many that write.
    pub clients: u32,
    /// How long a client waits after an answer.
    pub pause: Duration,
    /// How long the served tenant is left alone per pair.
    pub time: Duration,
}

/// What happens beside the served tenant.
#[derive(Clone, Copy)]
enum Phase {
    Quiet,
    Product,
    ByHand,
}

/// What was measured of one kind of phase.
#[derive(Default)]
struct Measured {
    reading: Vec<Turn>,
    writing: Vec<Turn>,
    /// How many were purged per second.
    purged: Vec<Turn>,
}

/// Measures purges beside a tenant under load.
///
/// # Errors
/// When a side fails, or the served tenant is answered with anything but its row.
pub async fn measure(
    room: &Room,
    settings: &Settings,
    sizes: Sizes,
) -> Result<(Environment, Vec<Figure>)> {
    let machine = Machine::now();
    let world = World::start(room, "purge", settings, &[("TENANTRY_SPARES", "0")]).await?;
    let environment = world.environment(machine).await?;
    let hosts = stage::tenants(&world, "served", 1, stage::NOTES).await?;
    let host = hosts.into_iter().next().ok_or_else(|| lacks("tenant"))?;
    let server = stage::routed(room, &world, "router", &[]).await?;
    let mut superuser = world.superuser("postgres").await?;
    let mut product = Product::new(&world, sizes.at_once).await?;
    let mut by_hand = ByHand::new(&world, sizes.at_once).await?;
    let mut load = Load::begin(server.address, &host, sizes.clients, sizes.pause).await?;
    product.make(WARM_UP).await?;
    product.purge().await?;
    by_hand.make(WARM_UP).await?;
    by_hand.drop_all().await?;

    let (mut quiet, mut purging, mut dropping) = Default::default();
    let part = sizes.tenants.div_ceil(settings.pairs.max(1));
    for pair in 0..settings.pairs {
        note(&format!("purge: pair {} of {}", pair + 1, settings.pairs));
        product.make(part).await?;
        by_hand.make(part).await?;
        let mut phases = [Phase::Quiet, Phase::Product, Phase::ByHand];
        if backwards(pair) {
            phases.reverse();
        }
        for phase in phases {
            settle(&mut superuser).await?;
            match phase {
                Phase::Quiet => {
                    let alone = async {
                        tokio::time::sleep(sizes.time).await;
                        Ok(Vec::new())
                    };
                    phase_of(&mut quiet, &mut load, alone).await?;
                }
                Phase::Product => phase_of(&mut purging, &mut load, product.purge()).await?,
                Phase::ByHand => phase_of(&mut dropping, &mut load, by_hand.drop_all()).await?,
            }
        }
    }
    load.end().await?;
    Ok((environment, figures(&quiet, &purging, &dropping)))
}

/// Every phase begins with nothing left to write of the one before.
async fn settle(superuser: &mut PgConnection) -> Result<()> {
    run(superuser, "CHECKPOINT".to_owned()).await
}

async fn phase_of(
    measured: &mut Measured,
    load: &mut Load,
    work: impl Future<Output = Result<Vec<Duration>>>,
) -> Result<()> {
    let began = Instant::now();
    let timed = async {
        let each = work.await?;
        Ok((each, began.elapsed()))
    };
    let ((each, took), times) = load.during(timed).await?;
    let Times { reading, writing } = times;
    measured.reading.push(by_the_99th(reading));
    measured.writing.push(by_the_99th(writing));
    measured.purged.push(Turn {
        #[expect(clippy::cast_precision_loss, reason = "a number of purges")]
        value: each.len() as f64 / took.as_secs_f64(),
        durations: each,
        cpu: None,
    });
    Ok(())
}

fn by_the_99th(durations: Vec<Duration>) -> Turn {
    Turn {
        value: percentile(&durations, 0.99),
        durations,
        cpu: None,
    }
}

fn figures(quiet: &Measured, purging: &Measured, dropping: &Measured) -> Vec<Figure> {
    let reads = "a served tenant's reads while others are purged";
    let writes = "a served tenant's writes while others are purged";
    let alone = "the same with nothing beside";
    let beside = "the same while databases are dropped by hand";
    let (most, ms) = (Wanted::RatioAtMost(GOAL), Unit::Milliseconds);
    vec![
        Figure::new(
            "purge/reading",
            ms,
            (reads, &purging.reading),
            (alone, &quiet.reading),
            most,
        ),
        Figure::new(
            "purge/writing",
            ms,
            (writes, &purging.writing),
            (alone, &quiet.writing),
            most,
        ),
        Figure::new(
            "purge/reading/by-hand",
            ms,
            (reads, &purging.reading),
            (beside, &dropping.reading),
            Wanted::Nothing,
        ),
        Figure::new(
            "purge/writing/by-hand",
            ms,
            (writes, &purging.writing),
            (beside, &dropping.writing),
            Wanted::Nothing,
        ),
        Figure::new(
            "purge/throughput",
            Unit::PerSecond,
            ("DELETE /setup/tenants/{tenant}?purge=true", &purging.purged),
            ("DROP DATABASE and DROP ROLE by hand", &dropping.purged),
            Wanted::Nothing,
        ),
    ]
}

/// The product's side: requests that are answered when the tenant is gone.
struct Product<'a> {
    world: &'a World,
    connections: Vec<Connection>,
    count: u32,
    made: Vec<String>,
}

impl<'a> Product<'a> {
    async fn new(world: &'a World, at_once: u32) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..at_once {
            connections.push(world.http().await?);
        }
        Ok(Self {
            world,
            connections,
            count: 0,
            made: Vec::new(),
        })
    }

    async fn make(&mut self, number: u32) -> Result<()> {
        self.count += 1;
        let prefix = format!("purged-{}", self.count);
        stage::tenants(self.world, &prefix, number, 0).await?;
        self.made
            .extend((0..number).map(|n| format!("{prefix}-{n}")));
        Ok(())
    }

    /// Purges them; says how long each took.
    async fn purge(&mut self) -> Result<Vec<Duration>> {
        let left = std::sync::Mutex::new(std::mem::take(&mut self.made));
        let next = || {
            let mut left = left
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            left.pop()
        };
        let world = self.world;
        let workers = self.connections.iter_mut().map(async |http| {
            let mut took = Vec::new();
            while let Some(slug) = next() {
                let path = format!("/setup/tenants/{slug}?purge=true");
                let began = Instant::now();
                world.ask(http, "DELETE", &path, None, 200).await?;
                took.push(began.elapsed());
            }
            Ok::<_, Failure>(took)
        });
        let took = futures::future::try_join_all(workers).await?;
        Ok(took.into_iter().flatten().collect())
    }
}
