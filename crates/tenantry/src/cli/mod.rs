//! The command line: what can be typed. One file per command.

mod audit;
mod bench;
mod catalog;
mod clusters;
mod completions;
mod config;
mod confirm;
mod dev;
mod doctor;
mod dumps;
mod follow;
mod init;
mod keys;
mod man;
mod migrate_all;
mod openapi;
mod operations;
mod operators;
mod pause;
mod probe;
mod psql;
mod rotate_credentials;
mod router_credentials;
mod routers;
mod serve;
mod status;
mod tenants;
mod top;

use std::path::PathBuf;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use tenantry_types::Secret;

use crate::config::{TelemetrySettings, Variables};
use crate::failure::Result;
use crate::output::Output;
use crate::telemetry::LogFormat;

const AFTER_HELP: &str = "\
Examples:
  tenantry dev                                   everything on this machine
  tenantry tenants create acme --admin-email ann@acme.example
  tenantry status                                what needs attention?
  tenantry tenants list --output json            for a script

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 not allowed, 6 unavailable, 130 stopped by Ctrl-C, 141 nobody reads on.";

/// One Postgres database per customer: control plane and connection router.
#[derive(Debug, Parser)]
#[command(
    name = "tenantry",
    version,
    about,
    max_term_width = 100,
    disable_help_subcommand = true
)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Reads the command line. An empty variable counts as unset, as it does in the configuration.
///
/// # Errors
/// What is wrong with it, or the help that was asked for.
pub fn parse(color: ColorChoice) -> std::result::Result<Cli, clap::Error> {
    let read = |command: clap::Command| {
        let command = command.color(color);
        let matches = command.try_get_matches()?;
        Cli::from_arg_matches(&matches)
    };
    let given = without_empty_variables(Cli::command());
    read(given).map_err(|error| {
        // The usage names what was given, and counts what came from variables to it: told without those.
        let typed = Cli::command().mut_args(|argument| argument.env(None::<&'static str>));
        match read(typed) {
            Err(plain) if error.use_stderr() && plain.kind() == error.kind() => plain,
            _ => error,
        }
    })
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|text| text.is_empty());
    command
        .mut_args(|argument| match argument.get_env().is_some_and(empty) {
            true => argument.env(None::<&'static str>),
            false => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// What every command understands.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The control plane to ask; found by itself where `tenantry dev` runs
    #[arg(long, global = true, env = "TENANTRY_URL", value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,

    /// The operator token; found by itself where `tenantry dev` runs
    #[arg(long, global = true, env = "TENANTRY_TOKEN", value_name = "TOKEN", hide_env_values = true, value_parser = secret)]
    pub token: Option<Secret>,

    /// The data folder of `tenantry dev` [default: .tenantry here or in a parent folder]
    #[arg(long, global = true, env = "TENANTRY_DATA", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,

    /// A table for people or one JSON document for programs
    #[arg(
        long,
        global = true,
        env = "TENANTRY_OUTPUT",
        value_enum,
        default_value_t
    )]
    pub output: Output,

    /// Colours; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,

    /// The configuration file [default: tenantry.toml, where there is one]
    #[arg(long, global = true, env = "TENANTRY_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// The shape of log lines; TENANTRY_LOG chooses which are shown
    #[arg(
        long,
        global = true,
        env = "TENANTRY_LOG_FORMAT",
        value_enum,
        default_value_t
    )]
    pub log_format: LogFormat,
}

impl Global {
    /// Where traces go, as file and environment say.
    #[must_use]
    pub fn telemetry(&self) -> TelemetrySettings {
        crate::config::Config::telemetry_of(self.config.as_deref(), &Variables::of_process())
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine, with a private Postgres
    Dev(dev::Dev),
    /// Run the control plane and router on a configured catalog
    Serve(serve::Serve),
    /// Prepare a catalog: migrate it, register the first cluster, issue the first token
    Init(init::Init),
    /// Print what a product with the router inside is given: route keys and a login for routing only
    RouterCredentials(router_credentials::RouterCredentials),
    /// Work on the central database itself
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Create, look at, change, suspend, rename, adopt, dump, restore and delete tenants
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// Bring every tenant, template and spare to the built-in migrations
    MigrateAll(migrate_all::MigrateAll),
    /// Run psql in a tenant's database, by a login that ends with it
    Psql(psql::Psql),
    /// Replace the login that routers use for a tenant, or for all; no request notices
    RotateCredentials(rotate_credentials::RotateCredentials),
    /// Add, list and retire the keys that seal secrets, and seal anew what older keys have sealed
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Add, look at, change, drain and remove the Postgres servers for tenants
    #[command(subcommand)]
    Clusters(clusters::Clusters),
    /// Look at what was done by whom, and whether the trail of it is intact
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Create, list, change and revoke operators
    #[command(subcommand)]
    Operators(operators::Operators),
    /// Tell how the installation stands and what needs attention
    Status(status::Status),
    /// List the final dumps of tenants that were purged
    #[command(subcommand)]
    Dumps(dumps::Dumps),
    /// Stop all background work of every process; tenants are served as before
    Pause(pause::Pause),
    /// Let background work go on after `pause`
    Resume(pause::Resume),
    /// Compare the catalog with databases, logins, rights, secrets and routers; tell what differs
    Doctor(doctor::Doctor),
    /// Look at the processes that route requests
    #[command(subcommand)]
    Routers(routers::Routers),
    /// Show the tenants that wait, fail or hold most
    Top(top::Top),
    /// Look at the durable changes that are going on; retry, cancel or abandon one
    #[command(subcommand)]
    Operations(operations::Operations),
    /// List what can be configured: keys, variables, defaults
    Config(config::Config),
    /// Ask whether the `serve` of this machine answers, for health checks
    Probe(probe::Probe),
    /// Print a script that lets the shell complete commands
    Completions(completions::Completions),
    /// Print the manual page, or write one for each command
    Man(man::Man),
    /// Measure on this machine what the product costs, as ratios
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print the OpenAPI document of the HTTP interface; asks no server
    Openapi(openapi::Openapi),
}

impl Command {
    /// Whether it runs a server, which tells what it does in its log.
    #[must_use]
    pub fn is_server(&self) -> bool {
        match self {
            Self::Dev(_) | Self::Serve(_) => true,
            Self::Bench(command) => command.is_server(),
            _ => false,
        }
    }

    /// Whether its requests can be traced.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        matches!(self, Self::Dev(_) | Self::Serve(_))
    }

    /// Runs it.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            // Boxed: they hold the whole program, the others only a request.
            Self::Dev(command) => Box::pin(command.run(global)).await,
            Self::Serve(command) => Box::pin(command.run(global)).await,
            Self::Init(command) => command.run(global).await,
            Self::RouterCredentials(command) => command.run(global).await,
            Self::Catalog(command) => command.run(global).await,
            Self::Tenants(command) => command.run(global).await,
            Self::MigrateAll(command) => command.run(global).await,
            Self::Psql(command) => command.run(global).await,
            Self::RotateCredentials(command) => command.run(global).await,
            Self::Keys(command) => command.run(global).await,
            Self::Clusters(command) => command.run(global).await,
            Self::Audit(command) => command.run(global).await,
            Self::Operators(command) => command.run(global).await,
            Self::Status(command) => command.run(global).await,
            Self::Dumps(command) => command.run(global),
            Self::Pause(command) => command.run(global).await,
            Self::Resume(command) => command.run(global).await,
            Self::Doctor(command) => Box::pin(command.run(global)).await,
            Self::Routers(command) => command.run(global).await,
            Self::Top(command) => command.run(global).await,
            Self::Operations(command) => command.run(global).await,
            Self::Config(command) => command.run(global),
            Self::Probe(command) => command.run(global).await,
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
            Self::Bench(command) => command.run(global).await,
            Self::Openapi(command) => command.run(),
        }
    }
}

/// Takes a secret from the command line.
fn secret(text: &str) -> std::result::Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string);
            let name = command.get_name();
            assert!(
                help.is_some_and(|help| help.contains("Example") && help.contains("tenantry ")),
                "`{name}` shows no example"
            );
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let cli =
            Cli::try_parse_from(["tenantry", "--token", "hunter2", "migrate-all"]).expect("parsed");
        assert!(!format!("{cli:?}").contains("hunter2"));
    }
}
