//! `tenantry bench provision`: what a sign-up costs beyond the statements it consists of.
//!
//! One world per way of creating, so that no spare is at hand where none may be used, and each
//! comparison is on one Postgres server.

mod by_hand;
mod product;

use sqlx::PgConnection;

use self::by_hand::ByHand;
use self::product::{Product, Source};
use super::Settings;
use super::environment::{Environment, Machine};
use super::pairs::backwards;
use super::report::{Figure, Unit, Wanted};
use super::room::Room;
use super::world::{World, run};
use crate::failure::Result;
use crate::output::note;

/// Spares that are kept ready where they are measured.
const SPARES: i64 = 2;
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
    let none = ("TENANTRY_SPARES", "0");
    let world = World::start(room, "template", settings, &[none]).await?;
    let environment = world.environment(machine).await?;
    let pairs = settings.pairs;
    let mut figures = vec![from_template(&world, pairs, creations).await?];
    let number = SPARES.to_string();
    let some = ("TENANTRY_SPARES", number.as_str());
    let world = World::start(room, "spare", settings, &[some]).await?;
    figures.push(from_spare(&world, pairs, creations).await?);
    Ok((environment, figures))
}

/// A creation that clones the template, against the same by hand.
async fn from_template(world: &World, pairs: u32, creations: u32) -> Result<Figure> {
    let mut sides = Sides::new(world, Source::Template).await?;
    let (mut products, mut bares) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        note(&format!(
            "provision, template: pair {} of {pairs}",
            pair + 1
        ));
        for product_now in [!backwards(pair), backwards(pair)] {
            sides.checkpoint().await?;
            if product_now {
                products.push(sides.product.turn(creations).await?);
            } else {
                bares.push(sides.by_hand.turn(creations).await?);
            }
        }
        sides.tidy_up().await?;
    }
    Ok(Figure::new(
        "provision/template",
        Unit::Milliseconds,
        ("POST /setup/tenants, cloning the template", &products),
        ("the same by hand", &bares),
        Wanted::RatioAtMost(1.6),
    ))
}

/// A creation that takes a spare, against cloning a database and nothing more.
async fn from_spare(world: &World, pairs: u32, creations: u32) -> Result<Figure> {
    let mut sides = Sides::new(world, Source::Spare).await?;
    let (mut products, mut bares) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        note(&format!("provision, spare: pair {} of {pairs}", pair + 1));
        for product_now in [!backwards(pair), backwards(pair)] {
            sides.product.stocked().await?;
            sides.checkpoint().await?;
            if product_now {
                products.push(sides.product.turn(creations).await?);
            } else {
                bares.push(sides.by_hand.create_alone(creations).await?);
            }
        }
        sides.tidy_up().await?;
    }
    Ok(Figure::new(
        "provision/spare",
        Unit::Milliseconds,
        ("POST /setup/tenants, taking a spare", &products),
        ("one bare CREATE DATABASE", &bares),
        Wanted::RatioAtMost(0.6),
    ))
}

/// Both sides on one server.
struct Sides<'a> {
    product: Product<'a>,
    by_hand: ByHand<'a>,
    superuser: PgConnection,
}

impl<'a> Sides<'a> {
    async fn new(world: &'a World, source: Source) -> Result<Self> {
        let mut product = Product::new(world, source).await?;
        product.warm_up(WARM_UP).await?;
        let mut by_hand = ByHand::new(world).await?;
        by_hand.warm_up(WARM_UP).await?;
        Ok(Self {
            product,
            by_hand,
            superuser: world.superuser("postgres").await?,
        })
    }

    /// Both sides begin with nothing left to write of what was before.
    async fn checkpoint(&mut self) -> Result<()> {
        run(&mut self.superuser, "CHECKPOINT".to_owned()).await
    }

    async fn tidy_up(&mut self) -> Result<()> {
        self.product.tidy_up().await?;
        self.by_hand.tidy_up().await
    }
}
