//! A tenant's database as a file of `pg_dump`, and back.
//!
//! The programs of Postgres are run with a temporary login of the tenant, whose password is in their
//! environment and in no argument. A dump is a file that is whole or not there, and beside it a manifest that
//! says whose it is and by which hash it is known; it is written last. The identity of the database is in no
//! dump: restored elsewhere, it would say of one database that it is another. The file holds the tenant's data in
//! clear, so it is readable by nobody but its owner.

mod files;
pub(crate) mod last;
mod programs;
mod version;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenantry_types::{OperationId, Secret, TenantId};

pub use files::{Kept, check_folder, kept, manifest_of, read, verify};
pub use last::Dumps;
pub use programs::{Programs, check_restore, restore, write};

/// What a dump is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// How this is to be read: 1.
    pub format: u32,
    /// Whose data it holds.
    pub tenant_id: TenantId,
    /// What the tenant was called then.
    pub slug: String,
    /// Its database then.
    pub db_name: String,
    /// Stands for the migrations of the program that took it.
    pub schema: String,
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// Of a final dump: the purge that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// What `pg_dump --version` said.
    pub program: String,
    /// The length of the file.
    pub bytes: u64,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
}

/// What is known of a dump before it is taken.
#[derive(Clone, Debug)]
pub struct Taking {
    /// Whose data it holds.
    pub tenant_id: TenantId,
    /// What the tenant is called.
    pub slug: String,
    /// The time.
    pub taken_at: DateTime<Utc>,
    /// Of a final dump: the purge that takes it.
    pub operation_id: Option<OperationId>,
}

/// The way into a tenant's database for a program of Postgres.
#[derive(Clone, Debug)]
pub struct Way {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// A temporary login that works as the owner.
    pub login: String,
    /// Its password.
    pub password: Secret,
    /// libpq's `sslmode`.
    pub ssl_mode: String,
    /// The certificates that the server's is checked by, where the cluster has some of its own.
    pub root_ca: Option<PathBuf>,
}

/// Why a dump could not be taken or used.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A program of Postgres cannot be run.
    #[error("{program} cannot be run")]
    Program {
        /// Which.
        program: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The program is older than the server.
    #[error("{program} is older than the server: {said}")]
    TooOld {
        /// Which.
        program: String,
        /// What it said of both versions.
        said: String,
    },
    /// The program would obey what a dump hides.
    #[error("{program} is not safe to restore with: {said}")]
    Unsafe {
        /// Which.
        program: String,
        /// What it said of itself, and which versions are.
        said: String,
    },
    /// The program did not do it.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which.
        program: String,
        /// The last that it said.
        said: String,
    },
    /// A file or folder cannot be used.
    #[error("{path} cannot be used: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The dump is not what its manifest says.
    #[error("{path} is not what its manifest says: {why}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// In what.
        why: String,
    },
}
