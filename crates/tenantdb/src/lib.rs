//! What lives inside one tenant's database: identity, people, roles, sessions, migrations.
//!
//! All SQL on a tenant's database is here, one module per table; functions take a connection that
//! the router has proven to be that tenant's, and the caller owns the transaction. Every relation
//! is named with its schema, because the connection's `search_path` belongs to the tenant.
//!
//! Nothing here opens a connection, knows which tenant it talks to, leaves session state (`SET`)
//! on a connection that will be pooled, or reads data for a person without holding their
//! [`permission::Granted`].

mod error;
pub mod identity;
pub mod migrations;
pub mod passwords;
pub mod permission;
pub mod permissions;
pub mod principals;
pub mod rights;
pub mod roles;
pub mod seed;
pub mod sessions;
pub mod sign_in_codes;
pub mod users;

pub use error::TenantDbError;
pub use migrations::{MIGRATOR, schema_digest};
