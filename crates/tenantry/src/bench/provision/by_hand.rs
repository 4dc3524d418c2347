//! The bare side: what somebody would write who makes a database per customer without us, and
//! makes it well.
//!
//! Sessions are open and statements are written before the clock runs; passwords are verifiers that
//! were worked out before (Postgres would hash 4,096 rounds for each); what can be one transaction
//! is one, sent as one message, and only the last commit waits for the disk, which then has all
//! before it too; the login as the tenant has a verifier of one round, as ours has.
//! It keeps no journal, looks nothing up, writes no catalog and undoes nothing.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tenantry_cluster::names;
use tenantry_tenantdb::seed;
use tenantry_types::{Clock, DbName, Entropy, Secret};
use tenantry_vault::scram;

use crate::bench::cpu::Watch;
use crate::bench::report::Turn;
use crate::bench::world::{World, bare_failed, close, connect, run};
use crate::failure::{Failure, Result};

/// An admin's session and what was made with it.
pub struct ByHand<'a> {
    world: &'a World,
    admin: PgConnection,
    template: String,
    watch: Watch,
    clock: Clock,
    entropy: Entropy,
    count: u32,
    made: Vec<String>,
    alone: Vec<String>,
}

/// One creation, written down.
struct Birth {
    base: String,
    create: String,
    rest: String,
    login: PgConnectOptions,
}

impl<'a> ByHand<'a> {
    /// With a ready session of the product's own admin login.
    ///
    /// # Errors
    /// When Postgres does not answer or the product has no template yet.
    pub async fn new(world: &'a World) -> Result<Self> {
        let mut admin = connect(&world.admin()).await?;
        let template: Option<String> = sqlx::query_scalar(
            "SELECT datname::text FROM pg_catalog.pg_database
             WHERE starts_with(datname::text, 'tnt_template_') LIMIT 1",
        )
        .fetch_optional(&mut admin)
        .await
        .map_err(|error| bare_failed(&error))?;
        let template = template.ok_or_else(|| {
            Failure::new(crate::exit::Exit::Failed, "the product made no template")
        })?;
        Ok(Self {
            world,
            admin,
            template,
            watch: world.watch(None),
            clock: Clock::system(),
            entropy: Entropy::system(),
            count: 0,
            made: Vec::new(),
            alone: Vec::new(),
        })
    }

    /// Some creations that do not count.
    ///
    /// # Errors
    /// As [`ByHand::turn`].
    pub async fn warm_up(&mut self, creations: u32) -> Result<()> {
        self.turn(creations).await?;
        self.create_alone(creations).await?;
        self.tidy_up().await
    }

    /// Makes complete databases one after another.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn turn(&mut self, creations: u32) -> Result<Turn> {
        let births = self.births(creations)?;
        let before = self.watch.read();
        let mut durations = Vec::new();
        let mut sessions = Vec::new();
        for birth in births {
            self.made.push(birth.base.clone());
            let (duration, session) = self.create(birth).await?;
            durations.push(duration);
            sessions.push(session);
        }
        let cpu = self.watch.read().zip(before);
        let cpu = cpu.map(|(after, before)| after.since(before, durations.len()));
        for session in sessions {
            close(session).await;
        }
        Ok(Turn::of_requests(durations, cpu))
    }

    /// Clones the template and does nothing more: one bare `CREATE DATABASE`.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn create_alone(&mut self, creations: u32) -> Result<Turn> {
        let before = self.watch.read();
        let mut durations = Vec::new();
        for _ in 0..creations {
            self.count += 1;
            let name = format!("alone_{}", self.count);
            self.alone.push(name.clone());
            let sql = format!("CREATE DATABASE {name} TEMPLATE {}", self.template);
            let began = Instant::now();
            run(&mut self.admin, sql).await?;
            durations.push(began.elapsed());
        }
        let cpu = self.watch.read().zip(before);
        let cpu = cpu.map(|(after, before)| after.since(before, durations.len()));
        Ok(Turn::of_requests(durations, cpu))
    }

    /// Drops what was made.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn tidy_up(&mut self) -> Result<()> {
        for base in std::mem::take(&mut self.made) {
            run(
                &mut self.admin,
                format!("DROP DATABASE {base} WITH (FORCE)"),
            )
            .await?;
            let drop = format!("DROP ROLE {base}_owner, {base}_router, {base}_user");
            run(&mut self.admin, drop).await?;
        }
        for name in std::mem::take(&mut self.alone) {
            run(&mut self.admin, format!("DROP DATABASE {name}")).await?;
        }
        Ok(())
    }

    /// The clock runs here and nowhere else.
    async fn create(&mut self, birth: Birth) -> Result<(Duration, PgConnection)> {
        let began = Instant::now();
        run(&mut self.admin, birth.create).await?;
        run(&mut self.admin, birth.rest).await?;
        let session = birth.login.connect().await;
        let mut session = session.map_err(|error| bare_failed(&error))?;
        seed::seed(&mut session, None, &self.clock, &self.entropy)
            .await
            .map_err(|error| Failure::because("the rows by hand were refused", &error))?;
        Ok((began.elapsed(), session))
    }

    fn births(&mut self, number: u32) -> Result<Vec<Birth>> {
        (0..number).map(|_| self.birth()).collect()
    }

    fn birth(&mut self) -> Result<Birth> {
        self.count += 1;
        let base = format!("hand_{}", self.count);
        let name = DbName::parse(&base)
            .map_err(|error| Failure::because("a name by hand is none", &error))?;
        let logins = names::login_names(&name);
        let (owner, router, user) = (&logins.owner, &logins.router, &logins.user);
        let password = self.entropy.password();
        let verifier = |password: &Secret, rounds| {
            scram::verifier(password, self.entropy.bytes::<16>(), rounds)
        };
        let own = scram::ROUTER_ITERATIONS;
        let of_router = verifier(&password, own);
        let of_owner = verifier(&password, own);
        let of_user = verifier(&password, scram::USER_ITERATIONS);
        let rest = [
            // The rows at the end are flushed to disk, and all that was written before with them.
            "SET LOCAL synchronous_commit = off".to_owned(),
            format!("COMMENT ON DATABASE {base} IS 'by hand'"),
            format!("REVOKE ALL ON DATABASE {base} FROM PUBLIC"),
            format!("GRANT CREATE, TEMPORARY ON DATABASE {base} TO tenantry_owner"),
            format!(
                "CREATE ROLE {owner} LOGIN INHERIT CONNECTION LIMIT 5 PASSWORD '{of_owner}' IN ROLE tenantry_owner"
            ),
            format!("COMMENT ON ROLE {owner} IS 'by hand'"),
            format!(
                "CREATE ROLE {router} LOGIN INHERIT PASSWORD '{of_router}' IN ROLE tenantry_app"
            ),
            format!("COMMENT ON ROLE {router} IS 'by hand'"),
            format!(
                "CREATE ROLE {user} LOGIN INHERIT CONNECTION LIMIT 20 PASSWORD '{of_user}' IN ROLE tenantry_app"
            ),
            format!("COMMENT ON ROLE {user} IS 'by hand'"),
            format!("ALTER ROLE {owner} IN DATABASE {base} SET role = tenantry_owner"),
            format!("GRANT CONNECT ON DATABASE {base} TO {owner}, {router}, {user}"),
            format!("ALTER DATABASE {base} ALLOW_CONNECTIONS true"),
        ];
        Ok(Birth {
            create: format!(
                "CREATE DATABASE {base} TEMPLATE {} ALLOW_CONNECTIONS false",
                self.template
            ),
            rest: rest.join(";"),
            login: self.world.login(router.as_str(), &password, &base),
            base,
        })
    }
}
