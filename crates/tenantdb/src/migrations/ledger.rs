//! Which migrations a database has: `tenantry.migrations`, in the form that sqlx writes.

use std::collections::BTreeMap;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::{Connection, PgConnection};

use super::{Applied, MigrateError};
use crate::TenantDbError;
use crate::error::sqlstate;

pub(super) const TABLE: &str = "tenantry.migrations";

/// What is written in one database's ledger.
pub(super) struct Ledger(BTreeMap<i64, Entry>);

struct Entry {
    checksum: Vec<u8>,
    success: bool,
}

/// Reads the ledger; a database without one has none applied.
pub(super) async fn read(conn: &mut PgConnection) -> Result<Ledger, MigrateError> {
    // Unchecked, since the scratch database of sqlx's macros has no ledger.
    let rows: Result<Vec<(i64, Vec<u8>, bool)>, sqlx::Error> =
        sqlx::query_as("SELECT version, checksum, success FROM tenantry.migrations")
            .fetch_all(conn)
            .await;
    match rows {
        Ok(rows) => Ok(Ledger(
            rows.into_iter()
                .map(|(version, checksum, success)| (version, Entry { checksum, success }))
                .collect(),
        )),
        Err(error) if sqlstate(&error).as_deref() == Some("42P01") => Ok(Ledger(BTreeMap::new())),
        Err(error) => Err(TenantDbError::from(error).into()),
    }
}

/// Makes the ledger. Only the owner may write it, although default privileges give every table of
/// the schema to the tenant's runtime logins.
pub(super) async fn ensure(conn: &mut PgConnection) -> Result<(), MigrateError> {
    let mut tx = conn.begin().await.map_err(TenantDbError::from)?;
    tx.ensure_migrations_table(TABLE)
        .await
        .map_err(|error| TenantDbError::from(super::error::cause(error)))?;
    sqlx::raw_sql(
        "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON tenantry.migrations FROM tenantry_app",
    )
    .execute(&mut *tx)
    .await
    .map_err(TenantDbError::from)?;
    tx.commit().await.map_err(TenantDbError::from)?;
    Ok(())
}

impl Ledger {
    /// What is applied, by version.
    pub(super) fn entries(&self) -> impl Iterator<Item = (i64, &[u8])> {
        self.0
            .iter()
            .map(|(version, entry)| (*version, entry.checksum.as_slice()))
    }

    /// The first migration that was applied in part.
    pub(super) fn dirty(&self) -> Option<i64> {
        let mut entries = self.0.iter();
        entries
            .find(|(_, entry)| !entry.success)
            .map(|(version, _)| *version)
    }

    /// The versions of `set` that are not applied, once it is certain that they may be.
    pub(super) fn missing(&self, set: &Migrator) -> Result<Vec<i64>, MigrateError> {
        let missing = self.known_missing(set)?;
        let versions: Vec<i64> = self
            .0
            .keys()
            .copied()
            .filter(|version| !set.version_exists(*version))
            .collect();
        if versions.is_empty() {
            Ok(missing)
        } else {
            Err(MigrateError::Ahead { versions })
        }
    }

    /// As [`Ledger::missing`], whatever else a newer program has applied.
    pub(super) fn known_missing(&self, set: &Migrator) -> Result<Vec<i64>, MigrateError> {
        if let Some((version, _)) = self.0.iter().find(|(_, entry)| !entry.success) {
            return Err(MigrateError::Dirty { version: *version });
        }
        let mut missing = Vec::new();
        for migration in set.iter() {
            match self.0.get(&migration.version) {
                None => missing.push(migration.version),
                Some(entry) if entry.checksum == *migration.checksum => {}
                Some(_) => {
                    return Err(MigrateError::Edited {
                        version: migration.version,
                    });
                }
            }
        }
        Ok(missing)
    }

    /// A run that had nothing to do.
    pub(super) fn unchanged(&self, set: &Migrator) -> Applied {
        let count = set
            .iter()
            .filter(|migration| self.0.contains_key(&migration.version))
            .count();
        Applied {
            from: count,
            to: count,
            applied: Vec::new(),
        }
    }
}
