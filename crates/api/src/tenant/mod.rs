//! The tenant API, at a tenant's host, for its own people.

pub(crate) mod auth;
pub(crate) mod me;
pub(crate) mod permissions;
pub(crate) mod roles;
pub(crate) mod users;
