//! The central database: what exists, where, and in which state.
//!
//! All SQL on it is in this crate, a file per table: free functions that take `&mut PgConnection`
//! first, so that the caller owns the transaction. What is absent is `None`; what clashes is a named
//! error. A row that does not decode into our types is [`CatalogError::Inconsistent`], never a guess.
//!
//! It does not know clusters' or tenants' databases, and decides nothing: that is `lifecycle`.

#[macro_use]
mod words;

pub mod adoptions;
pub mod aliases;
pub mod audit;
pub mod births;
pub mod change_log;
mod close;
pub mod clusters;
mod connect;
mod count;
pub mod database;
pub mod databases;
pub mod directory;
pub mod doctor_runs;
pub mod domain_claims;
pub mod domains;
mod error;
pub mod idempotency;
pub mod idempotent_answers;
pub mod installation;
pub mod inventory;
pub mod journal;
pub mod keys;
pub mod logins;
mod migrate;
pub mod notes;
pub mod operation_secrets;
pub mod operations;
pub mod operators;
pub mod pause;
pub mod rebuild;
pub mod router_login;
pub mod routers;
pub mod routes;
pub mod shares;
pub mod templates;
pub mod temporary_logins;
pub mod tenants;

pub use close::close_to_public;
pub use connect::{OF_CONTROL, ON_THE_WAY, connect};
pub use count::Count;
pub use error::CatalogError;
pub use migrate::{MIGRATOR, check_migrated, migrate};
