//! `tenantry bench suspend`: how long it takes until nothing of a tenant is served, on two routers under
//! load; and that nothing is, once the call was answered.

mod by_hand;
mod load;

use std::time::{Duration, Instant};

use serde_json::json;

use self::by_hand::ByHand;
use self::load::Load;
use super::Settings;
use super::environment::{Environment, Machine};
use super::http::Connection;
use super::pairs::{backwards, percentile};
use super::report::{Figure, Turn, Unit, Wanted};
use super::room::Room;
use super::route::stage;
use super::world::{World, lacks};
use crate::failure::{Failure, Result};
use crate::output::note;

/// How many routers serve the tenant.
const ROUTERS: usize = 2;
/// What a call may take, nearly always.
const GOAL_MS: f64 = 100.0;
/// Suspensions before the first pair.
const WARM_UP: u32 = 2;
/// How long the clients look for something that is still served.
const LOOK: Duration = Duration::from_millis(50);
/// How long the tenant may take to be served again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a turn of one side measured.
struct Turns {
    out: Vec<Duration>,
    back: Vec<Duration>,
}

/// Measures suspensions and resumptions, each side in turns.
///
/// # Errors
/// When a side fails, or something was served after a suspension was answered.
pub async fn measure(
    room: &Room,
    settings: &Settings,
    suspensions: u32,
    clients: u32,
) -> Result<(Environment, Vec<Figure>)> {
    let machine = Machine::now();
    let world = World::start(room, "suspend", settings, &[]).await?;
    let environment = world.environment(machine).await?;
    let hosts = stage::tenants(&world, "suspended", 1, stage::NOTES).await?;
    let host = hosts.into_iter().next().ok_or_else(|| lacks("tenant"))?;
    let mut servers = Vec::new();
    for n in 0..ROUTERS {
        servers.push(stage::routed(room, &world, &format!("router-{n}"), &[]).await?);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let load = Load::begin(&addresses, &host, clients)?;
    let mut product = Product {
        world: &world,
        http: world.http().await?,
    };
    let mut by_hand = ByHand::new(&world, "tenant_suspended_0").await?;
    load.served(PATIENCE).await?;
    product.turn(&load, WARM_UP).await?;

    let (mut products, mut bares) = (Vec::new(), Vec::new());
    for pair in 0..settings.pairs {
        note(&format!("suspend: pair {} of {}", pair + 1, settings.pairs));
        for product_now in [!backwards(pair), backwards(pair)] {
            if product_now {
                products.push(product.turn(&load, suspensions).await?);
            } else {
                bares.push(by_hand.turn(&load, suspensions).await?);
            }
        }
    }
    load.end().await?;
    let of = |turns: &[Turns], which: fn(&Turns) -> &Vec<Duration>, part: f64| -> Vec<Turn> {
        let turn = |turns: &Turns| Turn {
            value: percentile(which(turns), part),
            durations: which(turns).clone(),
            cpu: None,
        };
        turns.iter().map(turn).collect()
    };
    let figures = vec![
        Figure::new(
            "suspend/call",
            Unit::Milliseconds,
            (
                "POST …/suspend, two routers under load",
                &of(&products, |turns| &turns.out, 0.99),
            ),
            (
                "NOLOGIN and pg_terminate_backend by hand",
                &of(&bares, |turns| &turns.out, 0.99),
            ),
            Wanted::ValueAtMost(GOAL_MS),
        ),
        Figure::new(
            "suspend/resume",
            Unit::Milliseconds,
            ("POST …/resume", &of(&products, |turns| &turns.back, 0.5)),
            ("LOGIN by hand", &of(&bares, |turns| &turns.back, 0.5)),
            Wanted::Nothing,
        ),
    ];
    Ok((environment, figures))
}

/// The product's side.
struct Product<'a> {
    world: &'a World,
    http: Connection,
}

impl Product<'_> {
    async fn turn(&mut self, load: &Load, suspensions: u32) -> Result<Turns> {
        let mut turns = Turns {
            out: Vec::new(),
            back: Vec::new(),
        };
        let reason = json!({ "reason": "A benchmark." });
        for _ in 0..suspensions {
            let began = Instant::now();
            self.ask("suspend", Some(&reason)).await?;
            turns.out.push(began.elapsed());
            load.nothing_served_since(load::now(), LOOK).await?;
            let began = Instant::now();
            self.ask("resume", None).await?;
            turns.back.push(began.elapsed());
            load.served(PATIENCE).await?;
        }
        Ok(turns)
    }

    async fn ask(&mut self, verb: &str, body: Option<&serde_json::Value>) -> Result<()> {
        let path = format!("/setup/tenants/suspended-0/{verb}");
        let told = self
            .world
            .ask(&mut self.http, "POST", &path, body, 200)
            .await?;
        drop(told);
        Ok(())
    }
}

/// Something came that should not have.
fn served_late(by: Duration) -> Failure {
    Failure::new(
        crate::exit::Exit::Failed,
        format!(
            "something was served {:.3} ms after the suspension was answered",
            by.as_secs_f64() * 1e3
        ),
    )
}
