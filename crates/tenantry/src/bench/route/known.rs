//! What the tenants cost that a router knows and that nobody asks for: in time, and in memory.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::load::{self, Choice};
use super::stage::{self, Server, Target};
use super::{Sizes, catalog::Copy};
use crate::bench::Settings;
use crate::bench::cpu;
use crate::bench::pairs::backwards;
use crate::bench::report::{Figure, Turn, Unit, Wanted};
use crate::bench::room::Room;
use crate::bench::world::{World, lacks};
use crate::failure::Result;
use crate::output::note;

/// The slug that the made-up tenants are like.
const LIKE: &str = "hot-0";

/// How long a cache may take to count what it holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tenants that are asked for, and a catalog with many more.
pub struct Known<'a> {
    room: &'a Room,
    world: &'a World,
    sizes: &'a Sizes,
    catalog: Copy,
    hosts: Vec<String>,
}

impl<'a> Known<'a> {
    /// Makes them.
    ///
    /// # Errors
    /// When a part is refused.
    pub async fn set(room: &'a Room, world: &'a World, sizes: &'a Sizes) -> Result<Self> {
        let hosts = stage::tenants(world, "hot", sizes.hot, stage::NOTES).await?;
        let made_up = sizes.known.saturating_sub(sizes.hot);
        let catalog = Copy::make(world, "bench_known", LIKE, made_up).await?;
        Ok(Self {
            room,
            world,
            sizes,
            catalog,
            hosts,
        })
    }

    /// The same load on a router that knows the tenants under load, and on one that knows many more.
    ///
    /// # Errors
    /// When a side fails, or has forgotten what it was to know.
    pub async fn hot(&self, settings: &Settings) -> Result<Vec<Figure>> {
        let few = self.server("few").await?;
        let many = self.server("many").await?;
        self.learn(&many).await?;
        let [few, many] = [few, many]
            .map(|server| Target::new(self.world, &server, self.hosts.clone(), stage::NOTES));
        let clients = self.sizes.clients.first().copied().unwrap_or(1);
        let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
        for pair in 0..settings.pairs {
            note(&format!(
                "route, hot among many: pair {} of {}",
                pair + 1,
                settings.pairs
            ));
            for many_now in [!backwards(pair), backwards(pair)] {
                let (target, turns): (_, &mut Vec<Turn>) = if many_now {
                    (&many, &mut of_many)
                } else {
                    (&few, &mut of_few)
                };
                turns.push(load::turn(target, &Choice::Spread, clients, self.sizes.time).await?);
            }
        }
        // Still known at the end, or the comparison was with nothing.
        self.knows(many.address).await?;
        let (product, bare) = (
            "some tenants among many known",
            "the same, and no others known",
        );
        let cpu = |turns: &[Turn]| -> Vec<Turn> { turns.iter().map(Turn::server_cpu).collect() };
        Ok(vec![
            Figure::new(
                "route/hot-among-many",
                Unit::PerSecond,
                (product, &of_many),
                (bare, &of_few),
                Wanted::RatioAtLeast(0.97),
            ),
            Figure::new(
                "route/hot-among-many/cpu",
                Unit::Microseconds,
                (product, &cpu(&of_many)),
                (bare, &cpu(&of_few)),
                Wanted::RatioAtMost(1.0 / 0.97),
            ),
        ])
    }

    /// Resident memory of a router's process before and after it got to know all.
    ///
    /// # Errors
    /// When a process fails, or the system does not tell.
    pub async fn memory(&self, settings: &Settings) -> Result<Figure> {
        let (mut beyond, mut empty) = (Vec::new(), Vec::new());
        for pair in 0..settings.pairs {
            note(&format!(
                "route, memory: {} of {}",
                pair + 1,
                settings.pairs
            ));
            let server = self.server("memory").await?;
            let resident = || cpu::resident(server.running.pid).ok_or_else(|| lacks("VmRSS"));
            // The first request brings in code and the pool of connections to the catalog.
            self.resolve(&server, 1, 1).await?;
            let before = resident()?;
            self.learn(&server).await?;
            let after = resident()?;
            empty.push(Turn::of_value(before));
            beyond.push(Turn::of_value((after - before).max(0.0)));
            self.room.stop(server.running).await?;
        }
        Ok(Figure::new(
            "route/memory",
            Unit::Megabytes,
            ("many known tenants, beyond the empty router", &beyond),
            ("the process with an empty router", &empty),
            Wanted::ValueAtMost(100.0),
        ))
    }

    async fn server(&self, name: &str) -> Result<Server> {
        let more = [(
            "TENANTRY_CATALOG_URL".to_owned(),
            self.catalog.url(self.world)?.expose().to_owned(),
        )];
        stage::routed(self.room, self.world, name, &more).await
    }

    /// Lets a server resolve every made-up tenant once.
    async fn learn(&self, server: &Server) -> Result<()> {
        self.resolve(server, 1, self.made_up()).await?;
        self.knows(server.address).await
    }

    async fn resolve(&self, server: &Server, from: u32, to: u32) -> Result<()> {
        let path = format!("/know/{from}/{to}?base={}", self.world.host);
        stage::ask(server.address, "POST", &path, &self.world.host)
            .await
            .map(drop)
    }

    /// Fails unless a server knows the made-up tenants.
    async fn knows(&self, address: SocketAddr) -> Result<()> {
        let least = u64::from(self.made_up()) * 95 / 100;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = stage::ask(address, "GET", "/stats", &self.world.host).await?;
            let tenants = told["tenants"].as_u64().unwrap_or_default();
            if tenants >= least {
                return Ok(());
            }
            // The cache counts some time after the fact.
            if Instant::now() > deadline {
                return Err(lacks(&format!(
                    "router that still knows its tenants ({tenants})"
                )));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many stand in the catalog besides those that are asked for.
    fn made_up(&self) -> u32 {
        self.sizes.known.saturating_sub(self.sizes.hot)
    }
}
