//! The product's side: `POST /setup/tenants` over a connection that is kept, to its 201.

use std::time::Instant;

use serde_json::{Value, json};

use crate::bench::cpu::Watch;
use crate::bench::http::Connection;
use crate::bench::report::Turn;
use crate::bench::world::{World, no_answer, unexpected};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The product and what it made.
pub struct Product<'a> {
    world: &'a World,
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
    pub async fn new(world: &'a World) -> Result<Self> {
        Ok(Self {
            world,
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
        if cloned {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Failed,
            format!("a creation did not clone the template as was to be measured: {operation}"),
        ))
    }
}
