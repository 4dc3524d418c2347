//! `tenantry bench provision`: what a sign-up costs beyond the statements it consists of.
//!
//! One world per way of creating, so that no spare is at hand where none may be used, and each
//! comparison is on one Postgres server.

mod by_hand;
mod product;

use sqlx::PgConnection;

use self::by_hand::ByHand;
use self::product::Product;
use super::Settings;
use super::environment::{Environment, Machine};
use super::pairs::backwards;
use super::report::{Figure, Turn, Unit, Wanted};
use super::room::Room;
use super::world::{World, run};
use crate::failure::Result;
use crate::output::note;

/// Creations before the first pair, so that neither side pays for what happens once.
const WARM_UP: u32 = 3;

/// Measures creation on all its ways.
///
/// # Errors
/// When a side fails, or a creation did not go the way that is measured.
pub async fn measure(
    room: &Room,
    settings: &Settings,
    creations: u32,
) -> Result<(Environment, Vec<Figure>)> {
    let machine = Machine::now();
    let world = World::start(room, "template", settings, &[]).await?;
    let environment = world.environment(machine).await?;
    let figures = vec![from_template(&world, settings.pairs, creations).await?];
    Ok((environment, figures))
}

/// A creation that clones the template, against the same by hand.
async fn from_template(world: &World, pairs: u32, creations: u32) -> Result<Figure> {
    let mut product = Product::new(world).await?;
    product.warm_up(WARM_UP).await?;
    let mut by_hand = ByHand::new(world).await?;
    by_hand.warm_up(WARM_UP).await?;
    let mut superuser = world.superuser("postgres").await?;
    let (mut products, mut bares) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        note(&format!(
            "provision, template: pair {} of {pairs}",
            pair + 1
        ));
        for product_now in [!backwards(pair), backwards(pair)] {
            checkpoint(&mut superuser).await?;
            let turn: &mut Vec<Turn> = if product_now {
                &mut products
            } else {
                &mut bares
            };
            turn.push(if product_now {
                product.turn(creations).await?
            } else {
                by_hand.turn(creations).await?
            });
        }
        product.tidy_up().await?;
        by_hand.tidy_up().await?;
    }
    Ok(Figure::new(
        "provision/template",
        Unit::Milliseconds,
        ("POST /setup/tenants, cloning the template", &products),
        ("the same by hand", &bares),
        Wanted::RatioAtMost(1.6),
    ))
}

/// Both sides begin with nothing left to write of what was before.
async fn checkpoint(superuser: &mut PgConnection) -> Result<()> {
    run(superuser, "CHECKPOINT".to_owned()).await
}
