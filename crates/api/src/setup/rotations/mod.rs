//! Rotating the router logins of all tenants.

pub(crate) mod create;
