//! `/setup/tenants`

mod create;
mod delete;
mod disconnect;
mod idempotency;
mod list;
mod show;
