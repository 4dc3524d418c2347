//! Postgres servers that hold tenants' databases.

pub(crate) mod list;
