//! Durable operations and how they went.

pub(crate) mod abandon;
pub(crate) mod cancel;
pub(crate) mod events;
pub(crate) mod list;
pub(crate) mod reason;
pub(crate) mod retry;
pub(crate) mod show;
