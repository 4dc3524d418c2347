//! What can go wrong on a cluster.

use tenantry_types::ErrorKind;

/// A failure of a cluster, or its refusal.
///
/// The texts are for the operator's log: they carry the server's message and SQLSTATE and do not
/// belong into an answer to a customer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The server cannot be used right now: refused, too slow, starting, stopping, full, or an
    /// object is in use by somebody else. Trying again later can help.
    #[error("the cluster cannot be used right now: {reason}")]
    Unavailable {
        /// What happened, with the SQLSTATE where there is one.
        reason: String,
        /// The driver's error; a deadline of ours has none.
        source: Option<Box<sqlx::Error>>,
    },
    /// The object exists and does not carry our mark for this database: it is left alone.
    #[error("{0} is not ours by its mark, so it is left as it is")]
    NotOurs(String),
    /// Another database or login has this name.
    #[error("the name {0} is taken on this cluster")]
    NameTaken(String),
    /// Sessions of fenced logins did not end in time.
    #[error("{count} sessions of fenced logins are still open")]
    StillConnected {
        /// How many, at the last look.
        count: i64,
    },
    /// The server refused a statement.
    #[error("the cluster refused: {message} ({sqlstate})")]
    Refused {
        /// The five characters of the SQL standard, appendix A of Postgres's manual.
        sqlstate: String,
        /// The server's message with its detail and hint.
        message: String,
    },
    /// The cluster is not as it was prepared, e.g. a needed right is missing.
    #[error("{0}")]
    Unsuitable(String),
    /// A fault of ours.
    #[error("a statement on the cluster failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ClusterError {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } | Self::StillConnected { .. } => ErrorKind::Unavailable,
            Self::NotOurs(_) | Self::NameTaken(_) => ErrorKind::Conflict,
            Self::Refused { .. } | Self::Unsuitable(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// The stable code of this failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "CLUSTER_UNAVAILABLE",
            Self::NotOurs(_) => "CLUSTER_NOT_OURS",
            Self::NameTaken(_) => "CLUSTER_NAME_TAKEN",
            Self::StillConnected { .. } => "CLUSTER_STILL_CONNECTED",
            Self::Refused { .. } => "CLUSTER_REFUSED",
            Self::Unsuitable(_) => "CLUSTER_UNSUITABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// Whether the server, or what it grants the admin login, has no place for one more session.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Unavailable { source: Some(source), .. }
            if source.as_database_error().and_then(|error| error.code()).as_deref() == Some("53300"))
    }

    pub(crate) fn late(reason: impl Into<String>) -> Self {
        Self::Unavailable {
            reason: reason.into(),
            source: None,
        }
    }
}

impl From<sqlx::Error> for ClusterError {
    fn from(error: sqlx::Error) -> Self {
        let Some(report) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => {
                    Self::Unavailable {
                        reason: error.to_string(),
                        source: Some(Box::new(error)),
                    }
                }
                other => Self::Internal(Box::new(other)),
            };
        };
        let sqlstate = report.code().unwrap_or_default().into_owned();
        let mut message = report.message().to_owned();
        if let Some(report) = report.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            for part in [report.detail(), report.hint()].into_iter().flatten() {
                message.push_str("; ");
                message.push_str(part);
            }
        }
        if passes(&sqlstate) {
            Self::Unavailable {
                reason: format!("{message} ({sqlstate})"),
                source: Some(Box::new(error)),
            }
        } else {
            Self::Refused { sqlstate, message }
        }
    }
}

/// Whether a SQLSTATE tells of a state that passes by itself (appendix A of Postgres's manual).
fn passes(sqlstate: &str) -> bool {
    match sqlstate {
        // The server stops, crashed, starts; the statement took longer than our timeouts;
        // a deadlock; another session has the object in use or locked.
        "57P01" | "57P02" | "57P03" | "57014" | "40P01" | "40001" | "55006" | "55P03" => true,
        // Connection exceptions, and insufficient resources: disk, memory, connections.
        other => other.starts_with("08") || other.starts_with("53"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_passes_is_unavailable() {
        for sqlstate in ["57P03", "53300", "08006", "55006", "55P03", "57014"] {
            assert!(passes(sqlstate), "{sqlstate}");
        }
        for sqlstate in ["42501", "28P01", "42P04", "XX000", ""] {
            assert!(!passes(sqlstate), "{sqlstate}");
        }
    }

    #[test]
    fn a_refused_connection_is_unavailable() {
        let error = ClusterError::from(sqlx::Error::Io(
            std::io::ErrorKind::ConnectionRefused.into(),
        ));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.code(), "CLUSTER_UNAVAILABLE");
    }
}
