//! Brings a tenant's database to the migrations built into this program (`migrations-tenant/`).
//!
//! Run them on a connection of their own, opened as the owner login, and close it afterwards: a
//! call that is dropped half-way leaves its advisory lock and `lock_timeout` on the session. Never
//! on a pooled connection and never on an admin's.

mod error;
mod ledger;

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::migrate::{Migrate, Migration, Migrator};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

pub use error::MigrateError;

use crate::TenantDbError;
use crate::error::sqlstate;

/// The migrations built into this program.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// "tenantry" in ASCII. Advisory locks belong to one database, so one key serves for all.
const LOCK_KEY: i64 = 0x7465_6e61_6e74_7279;
/// How long to wait for another run on the same database.
const LOCK_WAIT: Duration = Duration::from_secs(60);
const LOCK_POLL: Duration = Duration::from_millis(100);
/// How often one migration is tried while somebody's query holds a lock that it needs. While it
/// waits, everybody queues behind it, hence the short `lock_timeout` in [`prepare`].
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What a run has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How many migrations the database had before.
    pub from: usize,
    /// How many it has now.
    pub to: usize,
    /// The versions that this run applied, in order.
    pub applied: Vec<i64>,
}

/// Applies the built-in migrations that the database does not have yet, each in a transaction of
/// its own. Those before a failed one stay. Two runs at once apply each of them once.
///
/// # Errors
/// See [`MigrateError`]; its text is for the operator and is never to reach a tenant.
pub async fn run(conn: &mut PgConnection) -> Result<Applied, MigrateError> {
    run_set(conn, &MIGRATOR).await
}

/// As [`run`], with other migrations than the built-in ones.
///
/// # Errors
/// As [`run`].
pub async fn run_set(conn: &mut PgConnection, set: &Migrator) -> Result<Applied, MigrateError> {
    if conn.is_in_transaction() {
        return Err(MigrateError::Db(TenantDbError::Transaction(
            "migrations must run outside of a transaction",
        )));
    }
    // Most databases of a fleet are up to date: that costs no lock.
    let before = ledger::read(conn).await?;
    if before.missing(set)?.is_empty() {
        return Ok(before.unchanged(set));
    }
    lock(conn).await?;
    let outcome = run_locked(conn, set).await;
    // If this fails the session is broken, and its lock and settings have ended with it.
    if let Err(error) = unlock(conn).await {
        tracing::warn!(%error, "the migration lock could not be given back");
    }
    outcome
}

/// The built-in migrations that the database does not have yet. A database that a newer program
/// has migrated further is no error here: it can be served.
///
/// # Errors
/// [`MigrateError::Edited`], [`MigrateError::Dirty`].
pub async fn pending(conn: &mut PgConnection) -> Result<Vec<i64>, MigrateError> {
    ledger::read(conn).await?.known_missing(&MIGRATOR)
}

/// What the ledger of a database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Stands for the migrations in it, as [`schema_digest`] does for the built-in ones.
    pub digest: String,
    /// The migration that was applied in part, if one was.
    pub dirty: Option<i64>,
}

/// Reads the ledger, whatever program wrote it.
///
/// # Errors
/// When the database does not answer, or its ledger is none.
pub async fn standing(conn: &mut PgConnection) -> Result<Standing, MigrateError> {
    let ledger = ledger::read(conn).await?;
    Ok(Standing {
        digest: digest_of(ledger.entries()),
        dirty: ledger.dirty(),
    })
}

/// Stands for the built-in migrations: hexadecimal, over all versions and checksums.
#[must_use]
pub fn schema_digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| {
        digest_of(
            MIGRATOR
                .iter()
                .map(|migration| (migration.version, &*migration.checksum)),
        )
    });
    &DIGEST
}

fn digest_of<'a>(migrations: impl Iterator<Item = (i64, &'a [u8])>) -> String {
    let mut digest = Sha256::new();
    for (version, checksum) in migrations {
        digest.update(version.to_be_bytes());
        digest.update(checksum);
    }
    digest
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

async fn run_locked(conn: &mut PgConnection, set: &Migrator) -> Result<Applied, MigrateError> {
    prepare(conn).await?;
    ledger::ensure(conn).await?;
    let before = ledger::read(conn).await?;
    let missing = before.missing(set)?;
    let mut done = before.unchanged(set);
    for migration in set.iter().filter(|m| missing.contains(&m.version)) {
        apply(conn, migration).await?;
        done.to += 1;
        done.applied.push(migration.version);
    }
    Ok(done)
}

/// By trying, not by waiting: a session that waits for an advisory lock holds a snapshot, for which
/// a `CREATE INDEX CONCURRENTLY` of the other run would wait in turn.
async fn lock(conn: &mut PgConnection) -> Result<(), MigrateError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let locked =
            sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "locked!""#, LOCK_KEY)
                .fetch_one(&mut *conn)
                .await
                .map_err(TenantDbError::from)?;
        if locked {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(MigrateError::Busy);
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

async fn unlock(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("RESET lock_timeout")
        .execute(&mut *conn)
        .await?;
    sqlx::query!("SELECT pg_advisory_unlock($1)", LOCK_KEY)
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// What is made must belong to the group that owns every tenant's tables, not to one login.
async fn prepare(conn: &mut PgConnection) -> Result<(), MigrateError> {
    let role = sqlx::query_scalar!(r#"SELECT current_user::text AS "role!""#)
        .fetch_one(&mut *conn)
        .await
        .map_err(TenantDbError::from)?;
    if role != "tenantry_owner" {
        return Err(MigrateError::WrongRole { role });
    }
    sqlx::raw_sql("SET lock_timeout = '2s'")
        .execute(conn)
        .await
        .map_err(TenantDbError::from)?;
    Ok(())
}

async fn apply(conn: &mut PgConnection, migration: &Migration) -> Result<(), MigrateError> {
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        let error = match conn.apply(ledger::TABLE, migration).await {
            Ok(_) => return Ok(()),
            Err(error) => error::cause(error),
        };
        // lock_not_available, deadlock_detected
        let held_up = matches!(sqlstate(&error).as_deref(), Some("55P03" | "40P01"));
        if left == 0 || !held_up {
            return Err(MigrateError::failed(migration, &error));
        }
        tracing::info!(version = migration.version, %error, "a migration is held up; trying again");
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Err(MigrateError::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_a_gap() {
        let versions: Vec<i64> = MIGRATOR.iter().map(|m| m.version).collect();
        let counted: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(versions, counted);
        assert!(!versions.is_empty());
    }

    #[test]
    fn the_digest_is_sha_256_in_hexadecimal() {
        assert_eq!(schema_digest().len(), 64);
        assert!(schema_digest().bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
