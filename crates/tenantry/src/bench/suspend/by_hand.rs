//! The bare side: what somebody would do without the product to keep a tenant out. It knows nothing of
//! routers: what they still have in their hands is not waited for.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::load::Load;
use super::{PATIENCE, Turns};
use crate::bench::world::{World, bare_failed, connect, run};
use crate::failure::Result;

/// Between two looks for sessions that have not ended yet.
const PAUSE: Duration = Duration::from_millis(1);

/// A session that may do it.
pub(super) struct ByHand {
    admin: PgConnection,
    logins: [String; 2],
}

impl ByHand {
    /// For the tenant whose database this is.
    pub(super) async fn new(world: &World, database: &str) -> Result<Self> {
        Ok(Self {
            admin: connect(&world.admin()).await?,
            logins: ["router", "user"].map(|role| format!("{database}_{role}")),
        })
    }

    /// Shuts the tenant out and lets it in again, one time after another.
    pub(super) async fn turn(&mut self, load: &Load, times: u32) -> Result<Turns> {
        let mut turns = Turns {
            out: Vec::new(),
            back: Vec::new(),
        };
        for _ in 0..times {
            let began = Instant::now();
            self.set("NOLOGIN").await?;
            while self.end().await? > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            turns.out.push(began.elapsed());
            let began = Instant::now();
            self.set("LOGIN").await?;
            turns.back.push(began.elapsed());
            load.served(PATIENCE).await?;
        }
        Ok(turns)
    }

    async fn set(&mut self, login: &str) -> Result<()> {
        let alter = |name: &String| format!("ALTER ROLE {name} {login}");
        let sql = self.logins.iter().map(alter).collect::<Vec<_>>().join(";");
        run(&mut self.admin, sql).await
    }

    /// Ends their sessions; says how many there were.
    async fn end(&mut self) -> Result<i64> {
        sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE usename = ANY ($1)",
        )
        .bind(&self.logins[..])
        .fetch_one(&mut self.admin)
        .await
        .map_err(|error| bare_failed(&error))
    }
}
