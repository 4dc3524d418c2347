//! Many tenants on few connections: the same load under a budget, and where everything fits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::load::{self, Choice, Zipf};
use super::stage::{self, Target};
use super::{Sizes, catalog::Copy};
use crate::bench::Settings;
use crate::bench::pairs::backwards;
use crate::bench::report::{Figure, Turn, Unit, Wanted};
use crate::bench::room::Room;
use crate::bench::world::{World, bare_failed, close, lacks};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{note, text};

/// Connections beside those of the two routers: the product's own, catalogs, the benchmark.
const BESIDES: u32 = 100;
/// What connections of one tenant may come on top of one each, where everything fits.
const SEVERAL: u32 = 200;
/// Rows of a tenant's table.
const ROWS: u32 = 64;
/// Bytes on the disk that a tenant's database takes, and what comes with it in the log.
const SIZE: u64 = 12_000_000;
/// The two sides.
const WITHIN: &str = "all tenants within the budget";
const ENOUGH: &str = "a connection and more for every tenant";
/// How often the server is asked who is connected.
const LOOK: Duration = Duration::from_millis(50);

/// Makes the fleet in a Postgres of its own and loads it.
///
/// # Errors
/// When the disk is too small, a part is refused, or a request is answered with anything but a row.
pub async fn measure(room: &Room, settings: &Settings, sizes: &Sizes) -> Result<Vec<Figure>> {
    fits(room, sizes.fleet)?;
    let roomy = sizes.fleet + SEVERAL;
    let most = (roomy + sizes.budget + BESIDES).to_string();
    // What creating has opened is not to be in the way afterwards.
    let env = [("TENANTRY_ROUTER_IDLE", "1s")];
    let more = ["--max-connections", most.as_str()];
    let world = World::start_with(room, "fleet", settings, &env, &more).await?;
    let hosts = stage::tenants(&world, "fleet", sizes.fleet, ROWS).await?;
    let zipf = Arc::new(Zipf::new(hosts.len(), sizes.zipf));
    let tight = side(room, &world, "tight", &hosts, sizes.budget).await?;
    let roomy = side(room, &world, "roomy", &hosts, roomy).await?;
    note("route, budget: opening every tenant's connection where all fit");
    load::each_once(&roomy.target).await?;

    let mut sampled = Sampled::default();
    let paced = Choice::Zipf(Arc::clone(&zipf), sizes.pause);
    let (budget, all) = pairs(
        &world,
        settings,
        sizes,
        (&tight, &roomy),
        &paced,
        &mut sampled,
    )
    .await?;
    let paced = Figure::new(
        "route/budget",
        Unit::PerSecond,
        (WITHIN, &budget),
        (ENOUGH, &all),
        Wanted::RatioAtLeast(0.7),
    );
    let at_once = Choice::Zipf(zipf, Duration::ZERO);
    let (budget, all) = pairs(
        &world,
        settings,
        sizes,
        (&tight, &roomy),
        &at_once,
        &mut sampled,
    )
    .await?;
    let saturated = Figure::new(
        "route/budget/saturated",
        Unit::PerSecond,
        (WITHIN, &budget),
        (ENOUGH, &all),
        Wanted::RatioAtLeast(0.7),
    );
    let connections = Figure::new(
        "route/budget/connections",
        Unit::Connections,
        ("the most that pg_stat_activity showed", &sampled.seen),
        ("the budget", &sampled.allowed),
        Wanted::EachRatioAtMost(1.0),
    );
    Ok(vec![paced, saturated, connections])
}

/// What `pg_stat_activity` showed in the turns under the budget.
#[derive(Default)]
struct Sampled {
    seen: Vec<Turn>,
    allowed: Vec<Turn>,
}

/// One load on both sides in turns: those under the budget, and those where all fit.
async fn pairs(
    world: &World,
    settings: &Settings,
    sizes: &Sizes,
    (tight, roomy): (&Side, &Side),
    load: &Choice,
    sampled: &mut Sampled,
) -> Result<(Vec<Turn>, Vec<Turn>)> {
    let (mut budget, mut all) = (Vec::new(), Vec::new());
    for pair in 0..settings.pairs {
        note(&format!(
            "route, budget: pair {} of {}",
            pair + 1,
            settings.pairs
        ));
        for tight_now in [!backwards(pair), backwards(pair)] {
            let side = if tight_now { tight } else { roomy };
            let looks = Looks::begin(world, &side.application).await?;
            let turn = load::turn(&side.target, load, sizes.fleet_clients, sizes.time).await;
            let most = looks.end().await?;
            if tight_now {
                budget.push(turn?);
                sampled.seen.push(Turn::of_value(f64::from(most)));
                sampled
                    .allowed
                    .push(Turn::of_value(f64::from(sizes.budget)));
            } else {
                all.push(turn?);
            }
        }
    }
    Ok((budget, all))
}

struct Side {
    target: Target,
    /// What its connections to tenants are called in `pg_stat_activity`.
    application: String,
}

async fn side(
    room: &Room,
    world: &World,
    name: &str,
    hosts: &[String],
    budget: u32,
) -> Result<Side> {
    let copy = Copy::make(world, &format!("bench_{name}"), "fleet-0", 0).await?;
    copy.set_budget(world, budget).await?;
    let more = [
        (
            "TENANTRY_CATALOG_URL".to_owned(),
            copy.url(world)?.expose().to_owned(),
        ),
        // None is closed for want of use while the other side has its turn.
        ("TENANTRY_ROUTER_IDLE".to_owned(), "1h".to_owned()),
    ];
    let server = stage::routed(room, world, name, &more).await?;
    let told = stage::ask(server.address, "GET", "/stats", &world.host).await?;
    Ok(Side {
        application: format!("tenantry/{}", text(&told, "router")),
        target: Target::new(world, &server, hosts.to_vec(), ROWS),
    })
}

/// Looks at who is connected for as long as a load runs.
struct Looks {
    over: Arc<AtomicBool>,
    looking: JoinHandle<Result<u32>>,
}

impl Looks {
    async fn begin(world: &World, application: &str) -> Result<Self> {
        let mut conn = world.superuser("postgres").await?;
        let over = Arc::new(AtomicBool::new(false));
        let (ends, application) = (Arc::clone(&over), application.to_owned());
        let looking = tokio::spawn(async move {
            let mut most = 0;
            while !ends.load(Ordering::Acquire) {
                // The one for ending others is on top of the budget, and goes by another name.
                let open: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = $1",
                )
                .bind(&application)
                .fetch_one(&mut conn)
                .await
                .map_err(|error| bare_failed(&error))?;
                most = most.max(u32::try_from(open).unwrap_or(u32::MAX));
                tokio::time::sleep(LOOK).await;
            }
            close(conn).await;
            Ok(most)
        });
        Ok(Self { over, looking })
    }

    async fn end(self) -> Result<u32> {
        self.over.store(true, Ordering::Release);
        self.looking
            .await
            .unwrap_or_else(|error| Err(Failure::because("a look at Postgres failed", &error)))
    }
}

/// Refuses at once what would fill the disk after minutes.
fn fits(room: &Room, tenants: u32) -> Result<()> {
    let free = nix::sys::statvfs::statvfs(room.path())
        .map(|disk| disk.blocks_available() * disk.fragment_size())
        .map_err(|_| lacks("free space"))?;
    let needed = u64::from(tenants) * SIZE;
    if needed <= free {
        return Ok(());
    }
    let gigabytes = |bytes: u64| bytes.div_ceil(1_000_000_000);
    Err(Failure::new(
        Exit::Failed,
        format!(
            "{tenants} databases need about {} GB, and {} has {} GB free",
            gigabytes(needed),
            room.path().display(),
            free / 1_000_000_000
        ),
    )
    .next(format!(
        "name another folder with --data, or fewer tenants with --fleet {}",
        (free / SIZE).max(1)
    )))
}
