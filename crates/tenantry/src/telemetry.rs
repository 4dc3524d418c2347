//! Where log lines go and what they look like: always to stderr, because stdout has only results.
//!
//! One event is one line, whatever is in it (`one_line.rs`), and what a panic said is in none: it may
//! quote data.

pub mod export;
mod one_line;
mod panics;

use clap::ValueEnum;
use tenantry_types::span;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{LogLines, terminal};
use export::Export;
use one_line::OneLine;

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object per line, for a log collector.
    Json,
}

/// Starts logging, and making spans where they are exported. `TENANTRY_LOG` chooses what is shown, e.g. `info,tenantry_router=debug`. A command
/// that is no `server` only asks one, and tells its own failures itself.
///
/// # Errors
/// When `TENANTRY_LOG` is no filter.
pub fn start(format: LogFormat, server: bool, export: Option<&Export>) -> Result<()> {
    // Notices like "already exists, skipping" are Postgres's chatter on a repeated start.
    let default = if server {
        "info,sqlx::postgres::notice=warn"
    } else {
        "warn"
    };
    let wanted = std::env::var("TENANTRY_LOG").unwrap_or_default();
    let filter = match wanted.trim() {
        "" => filter(default),
        wanted => filter(wanted),
    }?;
    let colours = format == LogFormat::Human && terminal().err.colour;
    match export {
        // One filter for all: what it does not want costs a look at a number.
        None => Registry::default()
            .with(filter)
            .with(lines(format, colours))
            .init(),
        Some(export) => {
            let spans = tracing_opentelemetry::layer()
                .with_tracer(export.tracer())
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_level(false)
                .with_tracked_inactivity(false)
                .with_context_activation(false);
            let wanted = filter_fn(|of| of.is_span() && of.target() == span::TARGET)
                .with_max_level_hint(LevelFilter::DEBUG);
            Registry::default()
                .with(lines(format, colours).with_filter(filter))
                .with(spans.with_filter(wanted))
                .init();
        }
    }
    if server {
        panics::log();
    }
    Ok(())
}

/// What writes lines.
fn lines<S>(format: LogFormat, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(OneLine::new(|| LogLines, colours));
    match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            // The request's span is the only one that lines show.
            .with_span_list(false)
            .boxed(),
        LogFormat::Human => lines.with_ansi(colours).with_target(false).boxed(),
    }
}

fn filter(directives: &str) -> Result<EnvFilter> {
    let wrong = |failure: Failure| {
        failure
            .exit_as(Exit::Usage)
            .next("write it like `info` or `warn,tenantry_router=debug`")
    };
    // To the filter a misspelt level is the name of a module, and everything else falls silent.
    if let Some(word) = directives
        .split(',')
        .map(str::trim)
        .find(|word| is_stray(word))
    {
        let message =
            format!("TENANTRY_LOG: `{word}` is no level (error, warn, info, debug, trace, off)");
        return Err(wrong(Failure::new(Exit::Usage, message)));
    }
    // Spans for traces are no part of a line, at whatever level.
    let directives = format!("{directives},{}=off", span::TARGET);
    EnvFilter::try_new(directives)
        .map_err(|error| wrong(Failure::because("TENANTRY_LOG is no filter", &error)))
}

/// Neither a level, nor a module with a level, nor a part of a span's filter (`[request{…}]=debug`).
fn is_stray(word: &str) -> bool {
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    let level = levels.iter().any(|level| level.eq_ignore_ascii_case(word));
    !level && !word.is_empty() && !word.contains(['=', '[', ']', '{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_modules_with_levels() {
        for good in [
            "info",
            "WARN",
            "warn,tenantry_router=debug",
            "off,sqlx::query=debug",
            "info,[request{route}]=trace",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_wrong_filter_is_told_at_the_start() {
        for bad in ["inof", "info,tenantry_router", "a=b=c", "tenantry=loud"] {
            let failure = filter(bad).expect_err(bad);
            assert_eq!(failure.exit(), Exit::Usage, "{bad}");
            assert!(
                failure.text().contains("TENANTRY_LOG"),
                "{}",
                failure.text()
            );
        }
    }
}
