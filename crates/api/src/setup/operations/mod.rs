//! Durable operations and how they went.

pub(crate) mod show;
