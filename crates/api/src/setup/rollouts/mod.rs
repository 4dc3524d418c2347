//! Bringing every tenant, template and spare to the built-in migrations.

pub(crate) mod create;
