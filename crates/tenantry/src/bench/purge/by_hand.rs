//! The bare side: databases and logins like a tenant's, and the statements that drop them. It knows no
//! catalog and no routers, and nobody is in these databases.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::bench::world::{World, bare_failed, connect, lacks, run};
use crate::failure::{Failure, Result};

/// The logins of a database.
const LOGINS: [(&str, &str); 3] = [
    ("owner", "tenantry_owner"),
    ("router", "tenantry_app"),
    ("user", "tenantry_app"),
];

/// Sessions of the product's own admin login, and what they made.
pub(super) struct ByHand {
    sessions: Vec<PgConnection>,
    template: String,
    count: u32,
    made: Vec<String>,
}

impl ByHand {
    /// With so many sessions; the product has a template by now.
    pub(super) async fn new(world: &World, sessions: u32) -> Result<Self> {
        let mut open = Vec::new();
        for _ in 0..sessions {
            open.push(connect(&world.admin()).await?);
        }
        let first = open.first_mut().ok_or_else(|| lacks("session"))?;
        let template: Option<String> = sqlx::query_scalar(
            "SELECT datname::text FROM pg_catalog.pg_database
             WHERE starts_with(datname::text, 'tnt_template_') LIMIT 1",
        )
        .fetch_optional(first)
        .await
        .map_err(|error| bare_failed(&error))?;
        Ok(Self {
            sessions: open,
            template: template.ok_or_else(|| lacks("template"))?,
            count: 0,
            made: Vec::new(),
        })
    }

    /// Makes databases with their logins.
    pub(super) async fn make(&mut self, number: u32) -> Result<()> {
        let session = self.sessions.first_mut().ok_or_else(|| lacks("session"))?;
        for _ in 0..number {
            self.count += 1;
            let base = format!("hand_{}", self.count);
            run(
                session,
                format!("CREATE DATABASE {base} TEMPLATE {}", self.template),
            )
            .await?;
            let login = |(role, group): &(&str, &str)| {
                format!(
                    "CREATE ROLE {base}_{role} LOGIN INHERIT IN ROLE {group};
                     GRANT CONNECT ON DATABASE {base} TO {base}_{role}"
                )
            };
            let logins: Vec<String> = LOGINS.iter().map(login).collect();
            run(session, logins.join(";")).await?;
            self.made.push(base);
        }
        Ok(())
    }

    /// Drops them, each session one after another; says how long each took.
    pub(super) async fn drop_all(&mut self) -> Result<Vec<Duration>> {
        let left = std::sync::Mutex::new(std::mem::take(&mut self.made));
        let next = || {
            let mut left = left
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            left.pop()
        };
        let workers = self.sessions.iter_mut().map(async |session| {
            let mut took = Vec::new();
            while let Some(base) = next() {
                let began = Instant::now();
                run(session, format!("DROP DATABASE {base} WITH (FORCE)")).await?;
                let logins = LOGINS.map(|(role, _)| format!("{base}_{role}")).join(", ");
                run(session, format!("DROP ROLE {logins}")).await?;
                took.push(began.elapsed());
            }
            Ok::<_, Failure>(took)
        });
        let took = futures::future::try_join_all(workers).await?;
        Ok(took.into_iter().flatten().collect())
    }
}
