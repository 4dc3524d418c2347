//! A private Postgres for `tenantry dev` and for tests.
//!
//! [`Server::start`] finds the programs of Postgres, makes a data folder where there is none,
//! recovers from whatever happened to the last run, and answers once a login works. It listens on
//! the loopback only and asks everybody for a password.
//!
//! What it must not do: touch a server it did not start itself, write outside of
//! [`Settings::data`] (save for downloaded programs, which are kept for the next time), or know
//! anything about tenants.
//!
//! ```no_run
//! # async fn example() -> Result<(), tenantry_devpg::Error> {
//! use tenantry_devpg::{Server, Settings};
//! use tenantry_types::Secret;
//!
//! let settings = Settings::new("data/postgres", Secret::new("super"), Secret::new("admin"));
//! let server = Server::start(settings).await?;
//! println!("postgres://tenantry_admin:admin@{}:{}/postgres", server.host(), server.port());
//! server.stop().await
//! # }
//! ```

mod account;
mod admin;
mod binaries;
mod download;
mod error;
mod folder;
mod initdb;
mod postmaster;
mod server;
mod settings;

pub use binaries::{Binaries, NEWEST_MAJOR, OLDEST_MAJOR, find_binaries};
pub use error::Error;
pub use folder::{Lock, lock};
pub use server::Server;
pub use settings::Settings;
