//! The real program, used as its users use it: over HTTP, on the command line, with a Postgres client.
//!
//! The folders mirror the API's paths. What is asserted comes from the product's promises, not from
//! its code. Tests share one running program ([`tenantry_testkit::shared`]) and have tenants of their
//! own in it; a test that stops or breaks something starts its own.
#![expect(clippy::expect_used, reason = "a test says with a panic what is wrong")]

mod access_table;
mod bad_input;
mod base;
mod bench;
mod cli;
mod crash;
mod deploy;
mod dev;
mod docs;
mod dumps;
mod faults;
mod fencing;
mod internal;
mod isolation;
mod library;
mod logs;
mod openapi;
mod pages;
mod postgres_versions;
mod proxies;
mod router;
mod runbooks;
mod secrets;
mod setup;
mod story;
mod telemetry;
mod tenant;
mod wait;
