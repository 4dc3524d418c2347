//! The registry of what can be allowed.

pub(crate) mod list;
