//! The program `tenantry`: the command line, the configuration, and the one place where all parts
//! are put together. What the parts do is in the other crates.
// An optimised build looks through the layers of middleware, one future in the other.
#![recursion_limit = "256"]

mod bench;
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
mod internal;
mod listen;
mod metrics;
mod output;
mod run;
mod stop;
mod telemetry;

use std::process::ExitCode;

use clap::ColorChoice;
use clap::error::ErrorKind;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Output, Terminal, terminal};
use crate::telemetry::export::Export;

fn main() -> ExitCode {
    let (output, color) = asked_for(
        std::env::args_os()
            .skip(1)
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    Terminal::decide(color);
    let colour_of_help = match terminal().out.colour {
        true => ColorChoice::Always,
        false => ColorChoice::Never,
    };
    let parsed = cli::parse(colour_of_help);
    match parsed {
        Ok(cli) => {
            let output = cli.global.output;
            start(cli).map_or_else(|failure| told(&failure, output), |()| ExitCode::SUCCESS)
        }
        Err(error) if output == Output::Json && error.use_stderr() => {
            told(&wrong_command_line(&error), output)
        }
        Err(error) => {
            // A closed stdout or stderr has nobody to be told.
            let _ = error.print();
            match error.use_stderr() {
                true => Exit::Usage.into(),
                false => ExitCode::SUCCESS,
            }
        }
    }
}

fn told(failure: &Failure, output: Output) -> ExitCode {
    if failure.exit() == Exit::NobodyReads {
        return failure.exit().into();
    }
    output::tell(&match output {
        Output::Table => failure.told(terminal().err.colour),
        Output::Json => output::harmless_json(&failure.json().to_string()),
    });
    failure.exit().into()
}

/// What must be known before the command line is read, which may turn out to be wrong.
fn asked_for(arguments: impl Iterator<Item = String>) -> (Output, ColorChoice) {
    let json = |text: &str| text.eq_ignore_ascii_case("json");
    let mut output = match std::env::var("TENANTRY_OUTPUT") {
        Ok(text) if json(&text) => Output::Json,
        _ => Output::Table,
    };
    let mut color = ColorChoice::Auto;
    let mut arguments = arguments.take_while(|argument| argument != "--").peekable();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, arguments.peek().cloned()),
        };
        match (name.as_str(), value) {
            ("--output", Some(value)) if json(&value) => output = Output::Json,
            ("--output", Some(_)) => output = Output::Table,
            ("--color", Some(value)) => color = value.parse().unwrap_or(color),
            _ => {}
        }
    }
    (output, color)
}

fn wrong_command_line(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let text = text.trim();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing",
        _ => text.split("\n\n").next().unwrap_or(text),
    };
    let tip = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("tip: "));
    Failure::usage(message).next(tip.unwrap_or("--help shows what can be written"))
}

fn start(cli: Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("the runtime cannot be started", &error))?;
    let export = match cli.command.is_traced() {
        true => Export::prepare(&cli.global.telemetry(), runtime.handle())?,
        false => None,
    };
    let server = cli.command.is_server();
    telemetry::start(cli.global.log_format, server, export.as_ref())?;
    let ended = runtime.block_on(cli.command.run(&cli.global));
    if let Some(export) = export {
        // The runtime goes on meanwhile, on its own threads: it sends.
        export.finish();
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_colour_are_known_before_the_command_line_is_right() {
        let of = |line: &str| asked_for(line.split(' ').map(str::to_owned));
        assert_eq!(of("tenants list --output json").0, Output::Json);
        assert_eq!(of("tenants --output=json lsit").0, Output::Json);
        assert_eq!(of("tenants list -- --output json").0, Output::Table);
        assert_eq!(of("--color never status").1, ColorChoice::Never);
        assert_eq!(of("--color=always").1, ColorChoice::Always);
    }
}
