//! `/setup/pause`: all background work, of every process, stopped by a person.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod show;
pub(crate) mod view;
