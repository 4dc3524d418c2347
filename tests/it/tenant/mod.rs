//! The tenant API, at a tenant's host.

mod auth;
mod brake;
mod refresh;
mod tokens;
mod users;
