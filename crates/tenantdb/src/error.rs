//! What can go wrong with a tenant's database itself, whatever was asked of it.

use sqlx::PgConnection;
use tenantry_types::ErrorKind;

/// A statement on a tenant's database failed for no reason that the caller could have known.
#[derive(Debug, thiserror::Error)]
pub enum TenantDbError {
    /// The server is gone, going, full or busy; the same call can succeed later.
    #[error("the tenant's database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The table of the identity is there and this login may not read it.
    #[error("the identity of the database may not be read")]
    IdentityUnreadable(#[source] sqlx::Error),
    /// Called outside of a transaction although its locks must last to the end of one, or inside
    /// of one although what it writes must stay when the caller gives up.
    #[error("{0}")]
    Transaction(&'static str),
    /// A stored value has a shape that this program never writes.
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
    /// Anything else: a fault of ours or a database that is not migrated.
    #[error("a statement on the tenant's database failed")]
    Internal(#[source] sqlx::Error),
}

impl TenantDbError {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) | Self::IdentityUnreadable(_) => ErrorKind::Unavailable,
            Self::Transaction(_) | Self::Corrupt(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// The stable code for an API's answer.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "DATABASE_UNAVAILABLE",
            Self::IdentityUnreadable(_) => "IDENTITY_UNREADABLE",
            Self::Transaction(_) | Self::Corrupt(_) | Self::Internal(_) => "INTERNAL",
        }
    }
}

impl From<sqlx::Error> for TenantDbError {
    fn from(error: sqlx::Error) -> Self {
        if is_unavailable(&error) {
            Self::Unavailable(error)
        } else {
            Self::Internal(error)
        }
    }
}

/// The SQLSTATE of an error that the server sent.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .map(std::borrow::Cow::into_owned)
}

/// The constraint that an error is about, if it is a violation of this unique constraint.
pub(crate) fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.constraint() == Some(constraint))
}

/// Row locks end with the transaction; without one they would end with their own statement.
pub(crate) fn within_transaction(conn: &PgConnection) -> Result<(), TenantDbError> {
    if sqlx::Connection::is_in_transaction(conn) {
        Ok(())
    } else {
        Err(TenantDbError::Transaction(
            "this change must run in a transaction",
        ))
    }
}

pub(crate) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Class 08 connection, 40 rolled back by the server (deadlock, serialization), 53 out of
        // resources, 57 an operator's doing (shutdown, termination, cancel), 58 outside of
        // Postgres; 55P03 a lock that was not to be had; 25006 a server in recovery.
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        sqlx::Error::Database(_) => sqlstate(error).is_some_and(|code| {
            matches!(code.as_str(), "55P03" | "25006")
                || matches!(code.get(..2), Some("08" | "40" | "53" | "57" | "58"))
        }),
        _ => false,
    }
}
