//! The setup API, `/setup/…` at the base domain.

pub(crate) mod clusters;
mod operations;
mod operators;
mod routers;
mod tenants;
