//! The keys of an installation, each for one purpose, and what is done with them.
//!
//! A secret is sealed with AES-256-GCM for one purpose and one place (table, row, column): moved
//! anywhere else it does not open. Keys never leave by `Debug` or `Display`; only
//! [`Keyring::to_setting`] gives them out, once, to be stored where the operator keeps secrets, and
//! [`Keyring::route_setting`] those of routing alone, for programs that only route.
//!
//! This crate does no I/O. It does not know which rows there are beyond the names in [`Place`].

mod directory;
mod keyring;
pub mod scram;
mod sealing;
mod signing;

pub use directory::DirectoryKey;
pub use keyring::{KeyError, KeyId, Keyring, Purpose};
pub use sealing::{AdminKeys, OpenError, Place, RouteKeys, SealError, Sealed};
pub use signing::{SigningKey, SigningKeys};
