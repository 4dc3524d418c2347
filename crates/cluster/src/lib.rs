//! What a cluster's admin login may do: groups and logins, databases, clones, the fence.
//!
//! The admin login has `CREATEDB`, `CREATEROLE` and `pg_signal_backend` and is no superuser, as on a
//! managed Postgres; 14 to 18 are supported. Every function may be repeated, also after a crash in
//! its middle, and ends in the same world: durable operations call them as their steps.
//!
//! What this crate must not do: run SQL that a customer or a migration wrote (an [`AdminConn`] gives
//! its connection to nobody outside), send a password in clear (it takes SCRAM verifiers only), or
//! touch what does not carry our [`Mark`].

/// An expression of SQL: whether this role owns for the admin. It is the admin login, or one that was the admin before
/// and whose rights it has. Being a member of the owner is not enough: an adoption takes a membership of somebody whose
/// other databases are his own, and a superuser is a member of everybody.
macro_rules! own {
    ($owner:literal) => {
        concat!(
            "(SELECT r.rolname = current_user OR (pg_catalog.pg_has_role(r.oid, 'USAGE')
                AND (r.rolsuper OR (r.rolcreatedb AND r.rolcreaterole)))
              FROM pg_catalog.pg_roles r WHERE r.oid = ",
            $owner,
            ")"
        )
    };
}

mod admin;
pub mod adoption;
mod alter;
mod clearance;
pub mod databases;
mod error;
pub mod fence;
pub mod groups;
pub mod identity;
pub mod inventory;
pub mod logins;
mod mark;
pub mod names;
pub mod note;
pub mod preflight;
pub mod repair;
pub mod sessions;
pub mod template;

pub use admin::{Address, Admin, AdminConn, TlsMode};
pub use error::ClusterError;
pub use mark::{InvalidMark, Mark};
