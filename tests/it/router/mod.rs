//! From a host to the right database, and to no other.

mod away;
mod chain;
mod hosts;
mod swapped;
