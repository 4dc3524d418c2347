//! The command line, in a pipe and at a terminal.

mod commands;
mod completions;
mod documented;
mod failures;
mod keys;
mod manual;
mod psql;
mod status;
mod terminal;
