//! Where a benchmark ran: without it a number says nothing to somebody else.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;
use sqlx::PgConnection;
use tenantry_types::{Clock, Timestamp};

use crate::failure::{Failure, Result};

/// What of Postgres's settings bears on the numbers.
const SETTINGS: [&str; 8] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "wal_sync_method",
    "shared_buffers",
    "max_connections",
    "ssl",
];

/// The machine, the program and the Postgres of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// When it began.
    pub date: Timestamp,
    /// The program's version.
    pub version: &'static str,
    /// The commit it was built from, where the build was told by `BUILD_COMMIT`.
    pub commit: Option<&'static str>,
    /// `release` or `debug`.
    pub profile: &'static str,
    /// Operating system and kind of processor.
    pub system: String,
    /// The processor.
    pub cpu: Option<String>,
    /// How many of them this process may use.
    pub cpus: usize,
    /// Programs that wanted to run when it began, over the last minute: above zero the machine was
    /// not quiet.
    pub load: Option<f64>,
    /// Postgres.
    pub postgres: Postgres,
}

/// A Postgres.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// Its version.
    pub version: String,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
}

/// What can be told before anything runs.
pub struct Machine {
    date: Timestamp,
    load: Option<f64>,
}

impl Machine {
    /// The machine as it is now, before the benchmark itself makes it busy.
    pub fn now() -> Self {
        let load = fs::read_to_string("/proc/loadavg").ok();
        let load = load.and_then(|text| text.split(' ').next()?.parse().ok());
        Self {
            date: Clock::system().now(),
            load,
        }
    }

    /// The whole environment, once Postgres runs.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn with(self, postgres: &mut PgConnection) -> Result<Environment> {
        let all: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings
             WHERE name = ANY ($1) OR name = 'server_version'",
        )
        .bind(SETTINGS.map(str::to_owned).to_vec())
        .fetch_all(postgres)
        .await
        .map_err(|error| Failure::because("Postgres does not tell its settings", &error))?;
        let mut settings: BTreeMap<String, String> = all.into_iter().collect();
        Ok(Environment {
            date: self.date,
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("BUILD_COMMIT"),
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu: processor(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            load: self.load,
            postgres: Postgres {
                version: settings.remove("server_version").unwrap_or_default(),
                settings,
            },
        })
    }
}

impl Environment {
    /// For a person.
    pub fn lines(&self) -> Vec<String> {
        let commit = self.commit.map_or_else(String::new, |c| format!(" ({c})"));
        let cpu = self.cpu.as_deref().unwrap_or("unknown processor");
        let load = self
            .load
            .map_or_else(String::new, |load| format!(", load {load}"));
        let settings: Vec<String> = self
            .postgres
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        vec![
            format!(
                "tenantry {}{commit}, {} build, {}",
                self.version,
                self.profile,
                self.date.format("%Y-%m-%d %H:%M UTC")
            ),
            format!("{}: {cpu}, {} CPUs{load}", self.system, self.cpus),
            format!("Postgres {}: {}", self.postgres.version, settings.join(" ")),
        ]
    }
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
