//! What the tenants cost that a router knows and that nobody asks for: in time, and in memory.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::load::{self, Choice};
use super::stage::{self, Server, Target};
use super::{Sizes, catalog::Copy, resolution};
use crate::bench::Settings;
use crate::bench::cpu::{self, Threads};
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
        let few_server = self.server("few").await?;
        let many_server = self.server("many").await?;
        self.learn(&many_server).await?;
        let [few, many] = [&few_server, &many_server]
            .map(|server| Target::new(self.world, server, self.hosts.clone(), stage::NOTES));
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
        self.room.stop(few_server.running).await?;
        self.room.stop(many_server.running).await?;
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

    /// Resolution on a router that knows many tenants, and on one that knows those under resolution.
    ///
    /// # Errors
    /// When a side fails, or has forgotten what it was to know.
    pub async fn resolution(&self, settings: &Settings) -> Result<Figure> {
        let few = self.server("few").await?;
        let many = self.server("many").await?;
        self.learn(&many).await?;
        let number = self.sizes.resolutions;
        let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
        let [to_few, to_many] = [&few, &many]
            .map(|server| Target::new(self.world, server, self.hosts.clone(), stage::NOTES));
        for target in [&to_few, &to_many] {
            resolution::turn(target, number).await?;
        }
        for pair in 0..settings.pairs {
            note(&format!(
                "route, resolution among many: pair {} of {}",
                pair + 1,
                settings.pairs
            ));
            for many_now in [!backwards(pair), backwards(pair)] {
                let (target, turns): (_, &mut Vec<Turn>) = if many_now {
                    (&to_many, &mut of_many)
                } else {
                    (&to_few, &mut of_few)
                };
                turns.push(resolution::turn(target, number).await?.header);
            }
        }
        self.knows(many.address).await?;
        self.room.stop(few.running).await?;
        self.room.stop(many.running).await?;
        Ok(Figure::new(
            "route/resolution/among-many",
            Unit::Nanoseconds,
            ("host header to route, many others known", &of_many),
            ("the same, and no others known", &of_few),
            Wanted::ValueAtMost(500.0),
        ))
    }

    /// Processor time of a router that nobody asks, with many known tenants and with none.
    ///
    /// # Errors
    /// When a process fails, has forgotten what it was to know, or the system does not tell.
    pub async fn idle(&self, settings: &Settings) -> Result<Figure> {
        let none = self.server("none").await?;
        let many = self.server("many").await?;
        self.learn(&many).await?;
        let (mut of_many, mut of_none) = (Vec::new(), Vec::new());
        // What a router does after it has learnt is over when the first turn begins.
        self.rest([none.running.pid, many.running.pid]).await?;
        for pair in 0..settings.pairs {
            note(&format!("route, idle: {} of {}", pair + 1, settings.pairs));
            let [none, many] = self.rest([none.running.pid, many.running.pid]).await?;
            of_none.push(Turn::of_value(none));
            of_many.push(Turn::of_value(many));
        }
        self.knows(many.address).await?;
        self.room.stop(none.running).await?;
        self.room.stop(many.running).await?;
        Ok(Figure::new(
            "route/idle",
            Unit::Microseconds,
            ("a second of a router at rest, many tenants known", &of_many),
            ("the same, none known", &of_none),
            Wanted::RatioAtMost(1.1),
        ))
    }

    /// Microseconds of processor time that each of the processes takes per second, in the same time:
    /// one at rest is in nobody's way. Never less than one.
    async fn rest<const N: usize>(&self, pids: [u32; N]) -> Result<[f64; N]> {
        let before = pids.map(Threads::of);
        let began = Instant::now();
        sleep(self.sizes.idle).await;
        let after = pids.map(Threads::of);
        let took = began.elapsed().as_secs_f64();
        let mut used = [1.0; N];
        for (used, (before, after)) in used.iter_mut().zip(before.into_iter().zip(after)) {
            let both = after.zip(before);
            let (after, before) = both.ok_or_else(|| lacks("schedstat"))?;
            *used = (after.since(&before).as_secs_f64() * 1e6 / took).max(1.0);
        }
        Ok(used)
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
