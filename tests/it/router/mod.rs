//! From a host to the right database, and to no other.

mod away;
mod hosts;
mod shared;
mod swapped;
