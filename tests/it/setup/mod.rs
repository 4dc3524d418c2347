//! The setup API, `/setup/…` at the base domain.

mod audit;
pub(crate) mod clusters;
mod operations;
mod operators;
mod routers;
mod tenants;
