//! The setup API, at the base domain, for operators.

pub(crate) mod adoptions;
pub(crate) mod audit;
pub(crate) mod clusters;
pub(crate) mod doctor;
pub(crate) mod health;
pub(crate) mod operations;
pub(crate) mod operators;
pub(crate) mod pause;
pub(crate) mod repeated;
pub(crate) mod rollouts;
pub(crate) mod rotations;
pub(crate) mod routers;
pub(crate) mod status;
pub(crate) mod tenants;
pub(crate) mod top;

mod progress;
