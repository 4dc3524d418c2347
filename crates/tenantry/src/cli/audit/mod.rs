//! `tenantry audit …`: a client of `/setup/audit`.

mod denied;
mod export;
mod list;
mod verify;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use tenantry_catalog::audit::Outcome;
use tenantry_types::Clock;

use super::Global;
use crate::failure::Result;

const EXAMPLES: &str = "\
Examples:
  tenantry audit list --tenant acme
  tenantry audit list --actor deploy-bot --action tenant. --since 24h
  tenantry audit export --since 2026-03-01T00:00:00Z > march.jsonl
  tenantry audit verify --head 4711:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  tenantry audit denied --since 1h";

/// What can be asked of the audit trail.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Audit {
    /// List what was done, by whom and from where, the newest first
    List(list::List),
    /// Print it as JSON lines, the oldest first
    Export(export::Export),
    /// Compare the trail with its seals: exit code 1 where a row is missing or was changed
    Verify(verify::Verify),
    /// List refused calls, counted by address and minute
    Denied(denied::Denied),
}

impl Audit {
    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global).await,
            Self::Export(command) => command.run(global).await,
            Self::Verify(command) => command.run(global).await,
            Self::Denied(command) => command.run(global).await,
        }
    }
}

/// Which acts.
#[derive(Args, Debug)]
struct Which {
    /// Only what this one did: an operator's name, or a part of the program
    #[arg(long)]
    actor: Option<String>,
    /// Only this act, e.g. `tenant.suspend`, or, with a full stop at its end, those that begin so, e.g. `tenant.`
    #[arg(long)]
    action: Option<String>,
    /// Only what was done to this tenant: its id or slug
    #[arg(long)]
    tenant: Option<String>,
    /// Only what this request asked for
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    span: Span,
    /// Only what ended so
    #[arg(long, value_parser = outcomes())]
    outcome: Option<String>,
}

/// From when to when.
#[derive(Args, Debug)]
struct Span {
    /// Not before: a moment like 2026-03-01T00:00:00Z, or as long ago as 90s, 15m, 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Before: as --since
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
}

impl Which {
    fn query(self) -> Vec<(&'static str, String)> {
        let own = [
            ("actor", self.actor),
            ("action", self.action),
            ("tenant", self.tenant),
            ("requestId", self.request_id),
            ("outcome", self.outcome),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        own.chain(self.span.query()).collect()
    }
}

impl Span {
    fn query(self) -> Vec<(&'static str, String)> {
        [("since", self.since), ("until", self.until)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

fn outcomes() -> PossibleValuesParser {
    PossibleValuesParser::new(Outcome::ALL.iter().map(|outcome| outcome.as_str()))
}

/// A moment, or how long ago, as the setup API takes it.
fn moment(text: &str) -> std::result::Result<String, String> {
    let told = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(told(at.with_timezone(&Utc)));
    }
    let shape = || "is neither a moment like 2026-03-01T00:00:00Z nor a time like 24h".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(shape)?;
    let number: i64 = match number.bytes().all(|b| b.is_ascii_digit()) && number.len() <= 8 {
        true => number.parse().map_err(|_| shape())?,
        false => return Err(shape()),
    };
    let ago = match unit {
        "s" => TimeDelta::seconds(number),
        "m" => TimeDelta::minutes(number),
        "h" => TimeDelta::hours(number),
        "d" => TimeDelta::days(number),
        _ => return Err(shape()),
    };
    let at = Clock::system().now().checked_sub_signed(ago);
    at.map(told).ok_or_else(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_or_how_long_ago() {
        assert_eq!(
            moment("2026-03-01T02:00:00+02:00"),
            Ok("2026-03-01T00:00:00Z".to_owned())
        );
        let hour = moment("1h").expect("a moment");
        let hour = DateTime::parse_from_rfc3339(&hour).expect("a moment");
        let ago = Clock::system().now() - hour.with_timezone(&Utc);
        assert!((3590..3700).contains(&ago.num_seconds()), "{ago}");
        for bad in ["", "h", "24", "-1h", "yesterday", "99999999d", "3\u{20ac}"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
