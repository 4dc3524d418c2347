//! Bringing the catalog up to date.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

use crate::{CatalogError, close_to_public};

/// The catalog's migrations.
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations-central");

/// How long to wait for another process that migrates.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Applies what is missing, then closes the database to PUBLIC. Safe when several do it at once; not
/// to be called inside a transaction.
///
/// # Errors
/// [`CatalogError::Migrate`] when a migration fails or an applied one was changed,
/// [`CatalogError::MigrationLocked`] when another process does not come to an end,
/// [`CatalogError::OpenToPublic`], or when the catalog fails.
pub async fn migrate(conn: &mut PgConnection) -> Result<(), CatalogError> {
    lock(conn).await?;
    let done = run(conn).await;
    let unlocked = sqlx::query_scalar!("SELECT pg_advisory_unlock($1)", LOCK)
        .fetch_one(conn)
        .await;
    done?;
    unlocked?;
    Ok(())
}

/// Whether the catalog has all the migrations that this program needs.
///
/// It may have more of them: during an upgrade the old program still runs.
///
/// # Errors
/// [`CatalogError::NotMigrated`], [`CatalogError::Migrate`] when an applied migration was changed, or
/// when the catalog fails.
pub async fn check_migrated(conn: &mut PgConnection) -> Result<(), CatalogError> {
    let ledger = sqlx::query_scalar!(
        r#"SELECT to_regclass('public._sqlx_migrations') IS NOT NULL AS "there!""#
    )
    .fetch_one(&mut *conn)
    .await?;
    let applied: HashMap<i64, Vec<u8>> = if ledger {
        // The ledger is sqlx's table, made by its migrator: not in the database that queries are
        // checked against.
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success")
            .fetch_all(conn)
            .await?
            .into_iter()
            .collect()
    } else {
        HashMap::new()
    };
    let mut missing = 0;
    for migration in MIGRATOR.iter() {
        match applied.get(&migration.version) {
            None => missing += 1,
            Some(checksum) if checksum[..] != *migration.checksum => {
                return Err(CatalogError::Migrate(MigrateError::VersionMismatch(
                    migration.version,
                )));
            }
            Some(_) => {}
        }
    }
    if missing > 0 {
        return Err(CatalogError::NotMigrated { missing });
    }
    Ok(())
}

/// The key of the advisory lock: "tenantry" in ASCII.
const LOCK: i64 = 0x7465_6e61_6e74_7279;

/// Takes the lock by trying. A statement that waits for a lock holds a snapshot, and an index built
/// CONCURRENTLY by the one who has the lock would wait for it in turn.
async fn lock(conn: &mut PgConnection) -> Result<(), CatalogError> {
    let mut waited = Duration::ZERO;
    loop {
        let locked = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "locked!""#, LOCK)
            .fetch_one(&mut *conn)
            .await?;
        if locked {
            return Ok(());
        }
        if waited >= PATIENCE {
            return Err(CatalogError::MigrationLocked(waited));
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}

async fn run(conn: &mut PgConnection) -> Result<(), CatalogError> {
    // The lock is ours, not the waiting one of sqlx.
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.set_locking(false);
    // A catalog that is newer than this program is left as it is.
    migrator.set_ignore_missing(true);
    migrator
        .run_direct(None, &mut *conn, false)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) => error.into(),
            error => CatalogError::Migrate(error),
        })?;
    close_to_public(conn).await
}
