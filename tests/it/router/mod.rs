//! From a host to the right database, and to no other.

mod away;
mod chain;
mod flood;
mod hosts;
mod shared;
mod swapped;
