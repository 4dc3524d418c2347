//! Where log lines go and what they look like: always to stderr, because stdout has only results.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Result};
use crate::output::{LogLines, terminal};

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object per line, for a log collector.
    Json,
}

/// Starts logging. `TENANTRY_LOG` chooses what is shown, e.g. `info,tenantry_router=debug`;
/// `quiet` is the default for commands that only ask a server.
///
/// # Errors
/// When `TENANTRY_LOG` is no filter.
pub fn start(format: LogFormat, quiet: bool) -> Result<()> {
    // Notices like "already exists, skipping" are Postgres's chatter on a repeated start.
    let default = if quiet {
        "warn"
    } else {
        "info,sqlx::postgres::notice=warn"
    };
    let wanted = std::env::var("TENANTRY_LOG").unwrap_or_default();
    let directives = if wanted.trim().is_empty() {
        default
    } else {
        &wanted
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::because("TENANTRY_LOG is no filter", &error)
            .exit_as(crate::exit::Exit::Usage)
            .next("write it like `info` or `warn,tenantry_router=debug`")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LogLines);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Human => {
            let colours = terminal().err.colour;
            builder.with_ansi(colours).with_target(false).init();
        }
    }
    Ok(())
}
