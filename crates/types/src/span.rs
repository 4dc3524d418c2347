//! The names that spans of a trace go by, in all crates.
//!
//! A span that is only for a trace has the target [`TARGET`]: log lines never show it (they have the
//! request's own span), and where no traces are exported making one costs a look at a number.
//!
//! Attributes follow the rules of log lines: ids, templates and words of ours; no secret, no mail
//! address, nothing that a client wrote but the request's id, which is checked.

/// The target of spans that are for traces only.
pub const TARGET: &str = "tenantry_trace";
