//! The words of Tenantry as types: ids, names, secrets, the clock, kinds of error.
//!
//! Everything here is pure: no async, no database, no HTTP. A string that could be mistaken for
//! another (a slug for a database name, a mail address for a host) is parsed once, at the edge,
//! into one of these types and travels as that type from then on.

mod alias;
mod clock;
mod db_host;
mod email;
mod entropy;
mod error;
mod ident;
mod ids;
pub mod metric;
mod names;
mod plan;
mod reason;
mod root_ca;
mod secret;
pub mod span;

pub use alias::{
    Alias, ApiKey, ApiKeyId, ChannelToken, ChannelTokenHash, InvalidReference, Reference,
    WeakChannelToken,
};
pub use clock::{Clock, Timestamp};
pub use db_host::{DbHost, InvalidDbHost};
pub use email::{Email, InvalidEmail};
pub use entropy::Entropy;
pub use error::{ErrorKind, FieldError};
pub use ident::{DbName, InvalidIdent, PgIdent, RoleName};
pub use ids::{
    AliasId, AuditId, ClusterId, DatabaseId, DoctorRunId, InstallationId, OperationId, OperatorId,
    RoleId, RouterId, SessionId, TenantId, UserId,
};
pub use names::{DomainName, InvalidDomain, InvalidSlug, Normalised, Slug};
pub use plan::{InvalidPlan, Plan};
pub use reason::{InvalidReason, Reason};
pub use root_ca::{InvalidRootCa, RootCa};
pub use secret::Secret;
