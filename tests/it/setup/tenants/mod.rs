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
mod logins;
mod rename;
mod rotate;
mod show;
mod suspend;
mod update;
