//! The setup API, `/setup/…` at the base domain.

pub(crate) mod adoptions;
mod audit;
pub(crate) mod clusters;
mod doctor;
mod operations;
mod operators;
mod pause;
mod routers;
mod tenants;
