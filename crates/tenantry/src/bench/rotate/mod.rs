//! `tenantry bench rotate`: what replacing a tenant's router login costs beyond the statements it consists
//! of, while its requests go on, of which none may fail.

mod by_hand;
mod load;

use std::time::Instant;

use serde_json::{Value, json};
use tenantry_types::{Entropy, Secret};

use self::by_hand::ByHand;
use self::load::Load;
use super::Settings;
use super::environment::{Environment, Machine};
use super::http::Connection;
use super::pairs::backwards;
use super::report::{Figure, Turn, Unit, Wanted};
use super::room::Room;
use super::world::{World, no_answer, unexpected};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{note, text};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Tenants, whose turn comes one after another.
    pub tenants: u32,
    /// Rotations of each side per pair.
    pub rotations: u32,
    /// Connections that ask without a pause, spread over the tenants.
    pub clients: u32,
}

/// What was found besides the figures.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// Requests that were answered during rotations.
    pub served: u64,
    /// How many of the product's rotations there were.
    pub rotations: usize,
}

/// A tenant under load.
pub(super) struct Tenant {
    id: String,
    database: String,
    host: String,
    token: Secret,
}

/// Measures rotations under load.
///
/// # Errors
/// When a side fails, or a request of the load did.
pub async fn measure(
    room: &Room,
    settings: &Settings,
    sizes: Sizes,
) -> Result<(Environment, Vec<Figure>, Requests)> {
    let machine = Machine::now();
    let world = World::start(room, "rotate", settings, &[("TENANTRY_SPARES", "0")]).await?;
    let environment = world.environment(machine).await?;
    let mut http = world.http().await?;
    let mut tenants = Vec::new();
    for number in 0..sizes.tenants {
        tenants.push(tenant(&world, &mut http, number).await?);
    }
    let mut by_hand = ByHand::new(&world, &tenants).await?;
    let load = Load::begin(&world, &tenants, sizes.clients).await?;
    // Neither side pays for what happens once.
    turn(&world, &mut http, &tenants, 1).await?;
    by_hand.turn(1).await?;
    let (mut products, mut bares) = (Vec::new(), Vec::new());
    for pair in 0..settings.pairs {
        note(&format!("rotate: pair {} of {}", pair + 1, settings.pairs));
        for product_now in [!backwards(pair), backwards(pair)] {
            if product_now {
                products.push(turn(&world, &mut http, &tenants, sizes.rotations).await?);
            } else {
                bares.push(by_hand.turn(sizes.rotations).await?);
            }
        }
    }
    let (served, failed) = load.end().await?;
    let rotations = products.iter().map(|turn| turn.durations.len()).sum();
    if let Some(first) = failed.first() {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} requests failed during {rotations} rotations, the first with {first}",
                failed.len()
            ),
        ));
    }
    let figure = Figure::new(
        "rotate/tenant",
        Unit::Milliseconds,
        (
            "POST /setup/tenants/{tenant}/rotate-credentials, under load",
            &products,
        ),
        ("the same statements by hand, under load", &bares),
        Wanted::Nothing,
    );
    Ok((environment, vec![figure], Requests { served, rotations }))
}

/// A tenant with somebody who is signed in.
async fn tenant(world: &World, http: &mut Connection, number: u32) -> Result<Tenant> {
    let slug = format!("rotated-{number}");
    let email = format!("ann@{slug}.example");
    let password = Entropy::system().password();
    let body = json!({
        "name": "A tenant of a benchmark", "slug": slug,
        "admin": { "email": email, "password": password.expose() },
    });
    let made = world.tenant(http, &body).await?;
    let host = format!("{slug}.{}", world.host);
    let body = json!({ "email": email, "password": password.expose() });
    let sign_in = super::http::request("POST", "/auth/login", &host, None, Some(&body));
    let answer = http
        .send(&sign_in)
        .await
        .map_err(|error| no_answer(&error))?;
    if answer.status != 200 {
        return Err(unexpected("POST /auth/login", answer.status, answer.body));
    }
    let answer: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    Ok(Tenant {
        id: text(&made, "tenantId"),
        database: text(&made, "dbName"),
        host,
        token: Secret::new(text(&answer, "accessToken")),
    })
}

/// The product's side: one rotation after another, each to its 200.
async fn turn(
    world: &World,
    http: &mut Connection,
    tenants: &[Tenant],
    rotations: u32,
) -> Result<Turn> {
    let mut durations = Vec::new();
    for tenant in tenants.iter().cycle().take(rotations as usize) {
        let path = format!("/setup/tenants/{}/rotate-credentials", tenant.id);
        let request = world.setup("POST", &path, None);
        let began = Instant::now();
        let answer = http
            .send(&request)
            .await
            .map_err(|error| no_answer(&error))?;
        durations.push(began.elapsed());
        if answer.status != 200 {
            return Err(unexpected(
                &format!("POST {path}"),
                answer.status,
                answer.body,
            ));
        }
    }
    // Processor time would be the load's, nearly all of it.
    Ok(Turn::of_requests(durations, None))
}
