use sqlx::migrate::Migrator;
use tenantry_tenantdb::MIGRATOR;
use tenantry_tenantdb::migrations::{self, MigrateError};
use tenantry_types::ErrorKind;

use crate::migrations::{migration, with_more};
use crate::server::{Databases, ask, execute};

pub async fn when_one_fails_the_earlier_ones_stay_and_the_operator_reads_all_of_it(
    databases: Databases,
) {
    let db = databases.migrated().await;
    let mut conn = db.owner().await;
    execute(
        &mut conn,
        "INSERT INTO tenantry.accounts (name) VALUES ('Acme'), ('Acme')",
    )
    .await;
    let set = |third: &str| {
        with_more(vec![
            migration(1001, "CREATE TABLE tenantry.before (x int)"),
            migration(
                1002,
                "-- unique\nCREATE TABLE tenantry.half (x int);\nCREATE UNIQUE INDEX accounts_name_key ON tenantry.accounts (name);",
            ),
            migration(1003, third),
        ])
    };
    let error = migrations::run_set(&mut conn, &set("SELECT 1"))
        .await
        .unwrap_err();
    let MigrateError::Failed {
        version,
        sqlstate,
        kind,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (*version, sqlstate.as_deref(), *kind),
        (1002, Some("23505"), ErrorKind::Conflict)
    );
    let text = error.to_string();
    for part in [
        "migration 1002 (number 1002) failed: ERROR 23505",
        "could not create unique index \"accounts_name_key\"",
        "DETAIL: Key (name)=(Acme) is duplicated.",
        "CONSTRAINT: accounts_name_key",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let there = |name| format!("SELECT to_regclass('tenantry.{name}') IS NOT NULL");
    assert!(ask::<bool>(&mut conn, &there("before")).await);
    assert!(
        !ask::<bool>(&mut conn, &there("half")).await,
        "a failed one leaves nothing"
    );

    // What was wrong is put right, and a wrong name is shown with its line.
    execute(&mut conn, "DELETE FROM tenantry.accounts").await;
    let error = migrations::run_set(&mut conn, &set("SELECT 1;\n\nSELECT * FROM nowhere"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("ERROR 42P01: relation \"nowhere\" does not exist (line 3)"),
        "{error}"
    );
    let done = migrations::run_set(&mut conn, &set("SELECT 1"))
        .await
        .unwrap();
    assert_eq!(done.applied, [1003]);
}

pub async fn when_a_shipped_one_was_edited(databases: Databases) {
    let db = databases.migrated().await;
    let mut conn = db.owner().await;
    let edited = MIGRATOR.iter().map(|shipped| match shipped.version {
        2 => migration(2, "SELECT 'another text'"),
        _ => shipped.clone(),
    });
    let edited = Migrator::with_migrations(edited.collect());
    let error = migrations::run_set(&mut conn, &edited).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Edited { version: 2 }),
        "{error:?}"
    );
    assert_eq!(error.code(), "MIGRATION_EDITED");

    execute(
        &mut conn,
        "UPDATE tenantry.migrations SET checksum = '\\x00' WHERE version = 3",
    )
    .await;
    let error = migrations::run(&mut conn).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Edited { version: 3 }),
        "{error:?}"
    );
    assert!(migrations::pending(&mut conn).await.is_err());
}

pub async fn when_one_was_applied_in_part(databases: Databases) {
    let db = databases.migrated().await;
    let mut conn = db.owner().await;
    execute(
        &mut conn,
        "UPDATE tenantry.migrations SET success = false WHERE version = 3",
    )
    .await;
    let more = with_more(vec![migration(1001, "CREATE TABLE tenantry.more ()")]);
    let error = migrations::run_set(&mut conn, &more).await.unwrap_err();
    assert!(
        matches!(error, MigrateError::Dirty { version: 3 }),
        "{error:?}"
    );
    assert_eq!(error.code(), "MIGRATION_DIRTY");
    assert!(!ask::<bool>(&mut conn, "SELECT to_regclass('tenantry.more') IS NOT NULL").await);
}

pub async fn when_the_database_is_ahead_which_can_be_served(databases: Databases) {
    let db = databases.migrated().await;
    let mut conn = db.owner().await;
    let newer = with_more(vec![
        migration(1001, "SELECT 1"),
        migration(1002, "SELECT 1"),
    ]);
    migrations::run_set(&mut conn, &newer).await.unwrap();
    let error = migrations::run(&mut conn).await.unwrap_err();
    assert!(
        matches!(&error, MigrateError::Ahead { versions } if versions == &[1001, 1002]),
        "{error:?}"
    );
    assert_eq!(error.code(), "SCHEMA_AHEAD");
    assert!(migrations::pending(&mut conn).await.unwrap().is_empty());
}

pub async fn as_anybody_but_the_owner(databases: Databases) {
    let db = databases.empty().await;
    let error = migrations::run(&mut db.superuser().await)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, MigrateError::WrongRole { role } if role == "postgres"),
        "{error:?}"
    );
    let nothing: bool = ask(
        &mut db.superuser().await,
        "SELECT to_regclass('tenantry.migrations') IS NULL",
    )
    .await;
    assert!(nothing);
}
