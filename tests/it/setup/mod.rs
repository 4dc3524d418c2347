//! The setup API, `/setup/…` at the base domain.

mod doctor;
mod operations;
mod operators;
mod routers;
mod tenants;
