//! Routers as the control plane sees them.

pub(crate) mod list;

pub(crate) mod view;
