//! `/setup/tenants`

mod aliases;
mod create;
mod credentials;
mod delete;
mod disconnect;
mod domains;
mod explain;
mod idempotency;
mod list;
mod rotate;
mod show;
