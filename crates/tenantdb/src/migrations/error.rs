//! Why a database could not be brought up to date, told in full to the operator.

use sqlx::migrate::Migration;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use tenantry_types::ErrorKind;

use crate::TenantDbError;
use crate::error::sqlstate;

/// Why a database could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A shipped migration was changed: the database has another text under this version.
    #[error(
        "migration {version} was changed after it was applied to this database; \
         a shipped migration never changes: restore it and write a new one"
    )]
    Edited {
        /// The migration.
        version: i64,
    },
    /// The ledger says that a migration was applied in part.
    #[error(
        "migration {version} was applied in part; repair the database and remove its row from \
         tenantry.migrations, or set success to true there"
    )]
    Dirty {
        /// The migration.
        version: i64,
    },
    /// A newer program has migrated this database further. It can be served, not migrated.
    #[error(
        "the database has migrations that this program does not know ({versions:?}); use the newer program"
    )]
    Ahead {
        /// The migrations that are not known here.
        versions: Vec<i64>,
    },
    /// A statement of a migration failed. Those before it stay applied.
    #[error("migration {version} ({description}) failed: {text}")]
    Failed {
        /// The migration.
        version: i64,
        /// Its name.
        description: String,
        /// What Postgres calls it.
        sqlstate: Option<String>,
        /// All that Postgres said: message, line, detail, hint, context.
        text: String,
        /// Whether trying again can help.
        kind: ErrorKind,
    },
    /// Another run on this database did not end in time.
    #[error("another run is migrating this database")]
    Busy,
    /// The connection acts as somebody else than `tenantry_owner`; what it makes would be theirs.
    #[error("migrations run as tenantry_owner, and this connection acts as {role}")]
    WrongRole {
        /// Whom it acts as.
        role: String,
    },
    /// The database's own reasons.
    #[error(transparent)]
    Db(#[from] TenantDbError),
}

impl MigrateError {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Edited { .. } | Self::Dirty { .. } | Self::Ahead { .. } => ErrorKind::Conflict,
            Self::Failed { kind, .. } => *kind,
            Self::Busy => ErrorKind::Unavailable,
            Self::WrongRole { .. } => ErrorKind::Internal,
            Self::Db(error) => error.kind(),
        }
    }

    /// The stable code for an API's answer.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Edited { .. } => "MIGRATION_EDITED",
            Self::Dirty { .. } => "MIGRATION_DIRTY",
            Self::Ahead { .. } => "SCHEMA_AHEAD",
            Self::Failed { .. } => "MIGRATION_FAILED",
            Self::Busy => "MIGRATION_BUSY",
            Self::WrongRole { .. } => "INTERNAL",
            Self::Db(error) => error.code(),
        }
    }

    pub(super) fn failed(migration: &Migration, error: &sqlx::Error) -> Self {
        let unavailable = crate::error::is_unavailable(error);
        Self::Failed {
            version: migration.version,
            description: migration.description.clone().into_owned(),
            sqlstate: sqlstate(error),
            text: full_text(migration, error),
            kind: if unavailable {
                ErrorKind::Unavailable
            } else {
                ErrorKind::Conflict
            },
        }
    }
}

/// What lies under sqlx's own error of a migration.
pub(super) fn cause(error: sqlx::migrate::MigrateError) -> sqlx::Error {
    use sqlx::migrate::MigrateError as Theirs;
    match error {
        Theirs::Execute(error) | Theirs::ExecuteMigration(error, _) => error,
        other => sqlx::Error::Migrate(Box::new(other)),
    }
}

fn full_text(migration: &Migration, error: &sqlx::Error) -> String {
    let Some(said) = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
    else {
        return error.to_string();
    };
    let mut text = format!("ERROR {}: {}", said.code(), said.message());
    if let Some(PgErrorPosition::Original(position)) = said.position() {
        // Counted in characters from 1.
        let before = migration
            .sql
            .as_str()
            .chars()
            .take(position.saturating_sub(1));
        let line = before.filter(|c| *c == '\n').count() + 1;
        text.push_str(&format!(" (line {line})"));
    }
    for (name, part) in [
        ("DETAIL", said.detail()),
        ("HINT", said.hint()),
        ("CONTEXT", said.r#where()),
        ("CONSTRAINT", said.constraint()),
    ] {
        if let Some(part) = part {
            text.push_str(&format!("\n{name}: {part}"));
        }
    }
    text
}
