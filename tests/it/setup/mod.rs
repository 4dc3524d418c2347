//! The setup API, `/setup/…` at the base domain.

mod audit;
mod operations;
mod operators;
mod routers;
mod tenants;
