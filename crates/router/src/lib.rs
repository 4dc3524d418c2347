//! From a host name, token or id to a tenant, and from there to a proven connection.
//!
//! This is the only opener of connections to tenants' databases. What it promises:
//! - A connection is handed out only after its own database answered with the expected installation,
//!   database and epoch, in the first round trip. Anything else fails closed (`connect.rs`).
//! - Nothing that was read before a change of the tenant is used after the change was applied
//!   (`versions.rs`), and nothing is handed out while others may believe this router dead (`lease.rs`).
//! - Open connections on a cluster stay within the budget, over all routers; one that is being closed
//!   counts until the server has ended it (`shares.rs`, `budget/`, `closing.rs`).
//! - No connection is closed under a running query: what has to end is waited for, up to a deadline,
//!   and then ended on the server (`places.rs`). So are requests, with their answers (`visits.rs`).
//!
//! It serves known tenants while the catalog is away, because a suspended, deleted or moved tenant
//! is held by Postgres itself: its logins are closed there, and another database than the expected
//! one fails the identity check.
//!
//! It must not decide who may do what, run a customer's SQL, or know of a current tenant: there is
//! no ambient one. A [`TenantConn`] is made from a [`Route`], and a [`Route`] by resolving.

mod acquire;
#[cfg(feature = "axum")]
pub mod axum;
mod budget;
mod cache;
mod change_log;
mod closing;
mod config;
mod conn;
mod connect;
mod credentials;
mod entry;
mod failures;
mod generation;
mod host;
mod inspect;
mod late;
mod lease;
mod meters;
mod parked;
mod places;
mod pools;
mod progress;
mod prove;
mod registration;
mod report;
mod resolve;
mod router;
mod session;
mod shares;
mod source;
mod spans;
mod strays;
mod tasks;
mod trouble;
mod versions;
mod visits;

pub use acquire::AcquireError;
pub use budget::{BreakerState, Limit};
pub use config::Config;
pub use conn::TenantConn;
pub use connect::{Address, Expected};
pub use credentials::{Credentials, CredentialsError, StartError};
pub use host::{BadHost, HostName, present_host};
pub use inspect::{PoolStats, ProbeError, Remembered, TenantStats};
pub use prove::{ProveError, ProvenConn, Prover, Target, UnprovenConn};
pub use resolve::{Asked, ResolveError, Route};
pub use router::{ClusterStats, Router, Stats};
/// What tenants' connections are of: a product's own version would be another type.
pub use sqlx;
pub use strays::{Looked, RouterLogin, Sessions};
pub use trouble::{By, Noted, Ranked, Reach, Reason};
pub use visits::{Cut, Entrance, Visits};
