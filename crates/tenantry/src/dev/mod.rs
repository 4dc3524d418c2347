//! What `tenantry dev` keeps in its data folder, and the private Postgres it runs.
//!
//! - `env`: variables for a second `tenantry serve` and for `psql`, written on each start;
//! - `operator-token`: a token for the setup API;
//! - `secrets`: passwords and keys, made once: without it the rest of the folder cannot be opened;
//! - `postgres/`: the private Postgres; `lock`: held by the running program.

mod banner;
mod env_file;
pub mod folder;
pub mod postgres;
mod secrets;

pub use banner::banner;
pub use env_file::EnvFile;
pub use folder::Folder;
pub use postgres::{Postgres, Wishes};
pub use secrets::Secrets;
