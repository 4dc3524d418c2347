//! Tenants as the control plane sees them.

pub(crate) mod aliases;
pub(crate) mod create;
pub(crate) mod created;
pub(crate) mod credentials;
pub(crate) mod delete;
pub(crate) mod disconnect;
pub(crate) mod domains;
pub(crate) mod explain;
pub(crate) mod list;
pub(crate) mod logins;
pub(crate) mod rename;
pub(crate) mod resume;
pub(crate) mod rotate_credentials;
pub(crate) mod show;
pub(crate) mod suspend;
pub(crate) mod unadopt;
pub(crate) mod undelete;
pub(crate) mod update;

pub(in crate::setup) mod idempotency;
pub(in crate::setup) mod request;
mod turned;
mod view;

pub(crate) use idempotency::{IdempotencyKey, request_hash};
#[cfg(test)]
pub(crate) use request::{Admin, Request};
