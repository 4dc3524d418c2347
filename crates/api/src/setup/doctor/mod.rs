//! The doctor: what differs between the catalog and what there is. A run is kept, and asked for until it has
//! ended: over a large fleet it takes longer than a request may.

pub(crate) mod create;
pub(crate) mod last;
pub(crate) mod show;
pub(crate) mod view;
