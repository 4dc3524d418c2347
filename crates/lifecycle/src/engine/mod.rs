//! Durable operations: multi-step changes that survive a crash at any point.
//!
//! The engine knows steps, a journal, leases and faults; it knows no tenant and no cluster. What it
//! promises: each step is written to the journal before and after its effect; a failed operation is
//! undone backwards (or tried again, as its kind says); one process at a time drives an operation,
//! and what a former driver still writes is refused by its fence number.
//!
//! What it asks of a step: run twice, or run again after it was cut off in the middle, a step's
//! `run` and its `undo` end in the same world as if they had run once.

mod faults;
mod lease;
mod runner;
pub(crate) mod spans;
mod step;

pub use faults::{Faults, InvalidFault, Point};
pub use lease::Lease;
pub use runner::{Drive, End, drive};
pub(crate) use step::chain_of;
pub use step::{Action, Failure, Kind, OnFailure, Step, StepError};
