//! `/setup/tenants`

mod create;
mod delete;
mod disconnect;
mod explain;
mod idempotency;
mod list;
mod show;
