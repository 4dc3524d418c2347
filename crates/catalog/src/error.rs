//! What can go wrong with the catalog.

use std::fmt;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use tenantry_types::ErrorKind;
use tenantry_vault::{OpenError, SealError};

/// A failure of the catalog that is nobody's request's fault.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The catalog cannot be reached, or gave up on this statement; later it may work.
    #[error("the catalog is not available")]
    Unavailable(#[source] sqlx::Error),
    /// A statement failed: a fault of ours, or of who changed the catalog by hand.
    #[error("a statement on the catalog failed")]
    Query(#[source] sqlx::Error),
    /// A row holds what we would never have written.
    #[error("row {row} of the catalog's {table} has an unusable {column}: {reason}")]
    Inconsistent {
        /// The table or view.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong with it, without the value.
        reason: String,
    },
    /// The catalog lacks migrations of this program.
    #[error(
        "the catalog is not up to date ({missing} migrations are missing): run `tenantry catalog migrate`"
    )]
    NotMigrated {
        /// How many are missing.
        missing: usize,
    },
    /// A migration failed, or one that was applied is not the one we have.
    #[error("the catalog could not be migrated")]
    Migrate(#[source] MigrateError),
    /// Another process migrates the catalog and does not come to an end.
    #[error("another process has been migrating the catalog for {0:?}")]
    MigrationLocked(Duration),
    /// The catalog's database stays open to every login of its server.
    #[error(
        "any login of the server may connect to the catalog's database: as its owner, run `REVOKE ALL ON DATABASE {0} FROM PUBLIC`"
    )]
    OpenToPublic(String),
    /// Every login that can connect to the catalog's database may create in its schema `public`.
    #[error(
        "any login of the catalog's database may create in its schema `public`, and could so run statements of its own as the catalog's owner: as a superuser, in the database {0}, run `ALTER SCHEMA public OWNER TO pg_database_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC`"
    )]
    SchemaOpenToPublic(String),
    /// A secret could not be sealed.
    #[error("a secret could not be sealed")]
    Seal(#[from] SealError),
    /// A secret of the catalog does not open with this keyring.
    #[error("a secret of the catalog could not be opened")]
    Open(#[from] OpenError),
}

/// Why a text is none of the words that a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not {0}")]
pub struct UnknownWord(pub(crate) &'static str);

impl CatalogError {
    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        }
    }

    /// The stable code of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "CATALOG_UNAVAILABLE",
            _ => "INTERNAL",
        }
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        if may_pass(&error) {
            Self::Unavailable(error)
        } else {
            Self::Query(error)
        }
    }
}

/// Whether the same statement may work later without anybody changing the program.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // <https://www.postgresql.org/docs/current/errcodes-appendix.html>: connection exceptions,
        // insufficient resources, operator intervention (shutdown, cancelled), deadlock and
        // serialisation, a lock not given in time, a transaction that stood still or lasted too long (as
        // when the server was paused), and a server that turned into a standby; and a database that is closed (55000) or away (3D000) while a failover or a repair is on. A
        // refused password is no outage: somebody has to change the configuration.
        sqlx::Error::Database(db) => db.code().is_some_and(|code| {
            ["08", "40", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class))
                || matches!(
                    code.as_ref(),
                    "55P03" | "55000" | "3D000" | "25006" | "25P03" | "25P04"
                )
        }),
        _ => false,
    }
}

/// The name of the constraint or unique index that a statement violated.
pub(crate) fn violated(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.constraint()
}

/// Turns a column that does not decode into [`CatalogError::Inconsistent`].
pub(crate) struct Row<K> {
    pub table: &'static str,
    pub key: K,
}

impl<K: fmt::Display> Row<K> {
    pub(crate) fn of(table: &'static str, key: K) -> Self {
        Self { table, key }
    }

    pub(crate) fn column<T, E: fmt::Display>(
        &self,
        column: &'static str,
        decoded: Result<T, E>,
    ) -> Result<T, CatalogError> {
        decoded.map_err(|error| self.inconsistent(column, error))
    }

    /// A column that may not be NULL in the row at hand.
    pub(crate) fn present<T>(
        &self,
        column: &'static str,
        value: Option<T>,
    ) -> Result<T, CatalogError> {
        value.ok_or_else(|| self.inconsistent(column, "is NULL"))
    }

    /// The two columns of a sealed secret, both present or both NULL.
    pub(crate) fn sealed(
        &self,
        key_id: Option<String>,
        bytes: Option<Vec<u8>>,
    ) -> Result<Option<tenantry_vault::Sealed>, CatalogError> {
        match (key_id, bytes) {
            (Some(key_id), Some(bytes)) => Ok(Some(tenantry_vault::Sealed { key_id, bytes })),
            (None, None) => Ok(None),
            _ => Err(self.inconsistent("sealed", "is there without its key_id, or the reverse")),
        }
    }

    fn inconsistent(&self, column: &'static str, reason: impl fmt::Display) -> CatalogError {
        CatalogError::Inconsistent {
            table: self.table,
            column,
            row: self.key.to_string(),
            reason: reason.to_string(),
        }
    }
}
