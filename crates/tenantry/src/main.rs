//! The program `tenantry`: the command line, the configuration, and the one place where all parts
//! are put together. What the parts do is in the other crates.

mod bootstrap;
mod catalog_url;
mod cli;
mod client;
mod cluster_url;
mod compose;
mod config;
mod dev;
mod exit;
mod failure;
mod faults;
mod listen;
mod output;
mod run;
mod stop;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::failure::{Failure, Result};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = cli.global.output;
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&match output {
                Output::Table => failure.text(),
                Output::Json => failure.json().to_string(),
            });
            failure.exit().into()
        }
    }
}

fn start(cli: Cli) -> Result<()> {
    telemetry::start(cli.global.log_format, !cli.command.is_server())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("the runtime cannot be started", &error))?;
    runtime.block_on(cli.command.run(&cli.global))
}
