//! `/setup/tenants`

mod aliases;
mod create;
mod delete;
mod disconnect;
mod domains;
mod explain;
mod idempotency;
mod list;
mod rename;
mod show;
mod suspend;
mod update;
