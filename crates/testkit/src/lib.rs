//! What an end-to-end test needs: the real program on a data folder of its own, and the ways in
//! that people have: HTTP, a browser, the command line, a Postgres client.
//!
//! Nothing of the product's code is used here, so that the tests see what a customer sees. Nothing
//! that is started outlives the test process, however that one ends: see `folder.rs`.
//!
//! Everything here panics where something is not as expected: it is called by tests only.

#![expect(
    clippy::expect_used,
    reason = "called by tests only, where a panic is how a failure is told"
)]

mod answer;
mod binary;
mod browser;
mod cli;
mod client;
mod dev;
pub mod dns;
mod folder;
pub mod logs;
mod metrics;
mod postgres;
mod process;
mod pty;
mod raw;
mod serve;
mod tenant;
mod world;

pub use answer::Answer;
pub use binary::command as program;
pub use browser::{Browser, Key, Scripts};
pub use cli::Cli;
pub use client::{Client, Request, plain};
pub use dev::{Dev, Options, shared};
pub use dns::Dns;
pub use metrics::Metrics;
pub use postgres::{Pg, refusal};
pub use process::Process;
pub use pty::{Seen, Terminal};
pub use raw::raw;
pub use serve::Serve;
pub use tenant::{ADMIN_PASSWORD, Tenant, unique};
pub use world::World;
