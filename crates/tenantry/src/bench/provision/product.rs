//! The product's side: `POST /setup/tenants` over a connection that is kept, to its 201.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::bench::cpu::Watch;
use crate::bench::http::Connection;
use crate::bench::report::Turn;
use crate::bench::world::{World, bare_failed, connect, no_answer, unexpected};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// How long the stock may take to be full again.
const STOCK: Duration = Duration::from_secs(60);
/// How often it is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Where a new tenant's database comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is cloned when it is asked for.
    Template,
    /// It was made ahead.
    Spare,
}

/// The product and what it made.
pub struct Product<'a> {
    world: &'a World,
    source: Source,
    catalog: PgConnection,
    http: Connection,
    watch: Watch,
    count: u32,
    made: Vec<Made>,
}

struct Made {
    tenant: String,
    operation: String,
}

impl<'a> Product<'a> {
    /// On a connection of its own.
    ///
    /// # Errors
    /// When the product does not answer.
    pub async fn new(world: &'a World, source: Source) -> Result<Self> {
        Ok(Self {
            world,
            source,
            catalog: connect(&world.admin().database(crate::dev::postgres::CATALOG)).await?,
            http: world.http().await?,
            watch: world.watch(Some(world.server.pid)),
            count: 0,
            made: Vec::new(),
        })
    }

    /// Some creations that do not count.
    ///
    /// # Errors
    /// As [`Product::turn`].
    pub async fn warm_up(&mut self, creations: u32) -> Result<()> {
        self.turn(creations).await?;
        self.tidy_up().await
    }

    /// Creates tenants one after another.
    ///
    /// # Errors
    /// When one is not answered with 201, or did not go the way that is measured.
    pub async fn turn(&mut self, creations: u32) -> Result<Turn> {
        let before = self.watch.read();
        let mut durations = Vec::new();
        let first = self.made.len();
        for _ in 0..creations {
            self.count += 1;
            let slug = format!("bench-{}", self.count);
            let body = json!({ "name": "A tenant of a benchmark", "slug": slug });
            let request = self.world.setup("POST", "/setup/tenants", Some(&body));
            self.stocked().await?;
            let began = Instant::now();
            let answer = self
                .http
                .send(&request)
                .await
                .map_err(|error| no_answer(&error))?;
            durations.push(began.elapsed());
            if answer.status != 201 {
                return Err(unexpected(
                    "POST /setup/tenants",
                    answer.status,
                    answer.body,
                ));
            }
            let answer: Value = serde_json::from_slice(answer.body).unwrap_or_default();
            let text = |field: &str| crate::output::text(&answer, field);
            self.made.push(Made {
                tenant: text("tenantId"),
                operation: text("operationId"),
            });
        }
        let requests = durations.len();
        let cpu = self.watch.read().zip(before);
        let cpu = cpu.map(|(after, before)| after.since(before, requests));
        for at in first..self.made.len() {
            self.check(at).await?;
        }
        Ok(Turn::of_requests(durations, cpu))
    }

    /// Deletes for good what was made.
    ///
    /// # Errors
    /// When the product refuses.
    pub async fn tidy_up(&mut self) -> Result<()> {
        for made in std::mem::take(&mut self.made) {
            let path = format!("/setup/tenants/{}?purge=true", made.tenant);
            self.world
                .ask(&mut self.http, "DELETE", &path, None, 200)
                .await?;
        }
        Ok(())
    }

    /// Waits until all spares are there that are to be, and nothing works on more.
    ///
    /// # Errors
    /// When they do not get ready.
    pub async fn stocked(&mut self) -> Result<()> {
        if self.source == Source::Template {
            return Ok(());
        }
        let began = Instant::now();
        while began.elapsed() < STOCK {
            let stocked = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM databases WHERE state = 'spare') >= $1
                    AND NOT EXISTS (SELECT FROM operations WHERE kind = 'spare' AND status = 'running')",
            )
            .bind(super::SPARES)
            .fetch_one(&mut self.catalog)
            .await
            .map_err(|error| bare_failed(&error))?;
            if stocked {
                return Ok(());
            }
            tokio::time::sleep(TICK).await;
        }
        Err(Failure::new(
            Exit::Failed,
            format!(
                "there were not {} spares after {} s",
                super::SPARES,
                STOCK.as_secs()
            ),
        ))
    }

    /// The operation's own record says which way it went.
    async fn check(&mut self, at: usize) -> Result<()> {
        let path = format!("/setup/operations/{}", self.made[at].operation);
        let operation = self
            .world
            .ask(&mut self.http, "GET", &path, None, 200)
            .await?;
        let steps = operation.get("steps").and_then(Value::as_array);
        let cloned = steps.is_some_and(|steps| {
            steps.iter().any(|step| {
                crate::output::text(step, "name") == "clone"
                    && crate::output::text(step, "status") == "done"
            })
        });
        if cloned == (self.source == Source::Template) {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Failed,
            format!(
                "a creation did not go the way that was to be measured, {:?}: {operation}",
                self.source
            ),
        ))
    }
}
