use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr};
use tenantry_tenantdb::migrations::{self, Applied};
use tenantry_tenantdb::{MIGRATOR, seed};
use tenantry_types::{Clock, Entropy, UserId};

use crate::server::{Databases, ask, execute};
use crate::tenant::email;

pub async fn bring_an_empty_database_up_and_change_nothing_the_second_time(databases: Databases) {
    let db = databases.empty().await;
    let mut conn = db.owner().await;
    let all: Vec<i64> = MIGRATOR.iter().map(|m| m.version).collect();
    assert_eq!(migrations::pending(&mut conn).await.unwrap(), all);
    let done = migrations::run(&mut conn).await.unwrap();
    let expected = Applied {
        from: 0,
        to: all.len(),
        applied: all.clone(),
    };
    assert_eq!(done, expected);
    assert_eq!(
        migrations::pending(&mut conn).await.unwrap(),
        Vec::<i64>::new()
    );
    let ledger = "SELECT string_agg(m::text, '|' ORDER BY version) FROM tenantry.migrations m";
    let before: String = ask(&mut conn, ledger).await;

    let again = migrations::run(&mut conn).await.unwrap();
    assert_eq!(
        again,
        Applied {
            from: all.len(),
            to: all.len(),
            applied: vec![]
        }
    );
    assert_eq!(ask::<String>(&mut conn, ledger).await, before);
    let strangers: i64 = ask(
        &mut conn,
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'tenantry' AND c.relowner <> 'tenantry_owner'::regrole",
    )
    .await;
    assert_eq!(strangers, 0, "everything belongs to the group");
}

pub async fn are_applied_once_by_two_runs_at_the_same_time(databases: Databases) {
    let db = databases.empty().await;
    let slow = |version| {
        migration(
            version,
            &format!("CREATE TABLE tenantry.t{version} (); SELECT pg_sleep(0.2)"),
        )
    };
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let mut conn = db.owner().await;
        let set = Migrator::with_migrations(vec![slow(1), slow(2), slow(3)]);
        tasks.push(tokio::spawn(async move {
            migrations::run_set(&mut conn, &set).await.unwrap()
        }));
    }
    let mut applied = Vec::new();
    for task in tasks {
        applied.push(task.await.unwrap());
    }
    applied.sort_by_key(|done| done.applied.len());
    assert_eq!(
        applied[0],
        Applied {
            from: 3,
            to: 3,
            applied: vec![]
        },
        "one waits and finds it done"
    );
    assert_eq!(
        applied[1],
        Applied {
            from: 0,
            to: 3,
            applied: vec![1, 2, 3]
        }
    );
}

pub async fn wait_for_a_table_that_a_query_holds(databases: Databases) {
    let db = databases.migrated().await;
    let mut reader = db.app().await;
    let mut open = reader.begin().await.unwrap();
    ask::<i64>(&mut open, "SELECT count(*) FROM tenantry.accounts").await;

    let mut conn = db.owner().await;
    let run = tokio::spawn(async move {
        let set = with_more(vec![migration(
            1001,
            "ALTER TABLE tenantry.accounts ADD COLUMN score int",
        )]);
        migrations::run_set(&mut conn, &set).await
    });
    // Longer than the lock is waited for once.
    tokio::time::sleep(Duration::from_millis(2300)).await;
    assert!(!run.is_finished());
    open.rollback().await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().applied, [1001]);
}

pub async fn leave_nothing_on_the_session(databases: Databases) {
    let db = databases.empty().await;
    let mut conn = db.owner().await;
    let settings = "SELECT coalesce(string_agg(name || '=' || setting, ','), '') FROM pg_settings
         WHERE source = 'session'";
    let before: String = ask(&mut conn, settings).await;
    migrations::run(&mut conn).await.unwrap();
    nothing_left(&mut conn, settings, &before).await;
    let broken = with_more(vec![migration(1001, "SELECT 1/0")]);
    migrations::run_set(&mut conn, &broken).await.unwrap_err();
    nothing_left(&mut conn, settings, &before).await;
}

pub async fn added_later_give_new_permissions_to_the_role_admin(databases: Databases) {
    // A tenant that was seeded when it had the first release's migrations.
    const FIRST_RELEASE: i64 = 4;
    let db = databases.empty().await;
    let mut conn = db.owner().await;
    let first = MIGRATOR
        .iter()
        .filter(|m| m.version <= FIRST_RELEASE)
        .cloned()
        .collect();
    migrations::run_set(&mut conn, &Migrator::with_migrations(first))
        .await
        .unwrap();
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let admin = seed::Admin {
        user_id: UserId::generate(&clock, &entropy),
        email: email("ann@acme.example"),
        password_hash: None,
    };
    seed::seed(&mut conn, Some(&admin), &clock, &entropy)
        .await
        .unwrap();

    migrations::run(&mut conn).await.unwrap();
    let lacking: i64 = ask(
        &mut conn,
        "SELECT count(*) FROM tenantry.permissions p WHERE NOT EXISTS (
             SELECT FROM tenantry.role_permissions rp JOIN tenantry.roles r ON r.id = rp.role_id
             WHERE r.name = 'Admin' AND (rp.resource, rp.action) = (p.resource, p.action))",
    )
    .await;
    assert_eq!(lacking, 0, "see migrations-tenant/README.md");
}

pub async fn keep_ledger_and_hashes_from_those_who_may_not(databases: Databases) {
    let db = databases.migrated().await;
    let mut app = db.app().await;
    refused(&mut app, "DELETE FROM tenantry.migrations").await;
    refused(&mut app, "UPDATE tenantry.migrations SET success = false").await;
    refused(&mut app, "CREATE TABLE tenantry.mine ()").await;
    refused(&mut app, "ALTER TABLE tenantry.users ADD COLUMN mine int").await;
    assert!(
        migrations::pending(&mut app).await.unwrap().is_empty(),
        "but it may read it"
    );

    let mut readonly = db.readonly().await;
    refused(&mut readonly, "SELECT password_hash FROM tenantry.users").await;
    refused(
        &mut readonly,
        "SELECT token_hash FROM tenantry.refresh_tokens",
    )
    .await;
    refused(&mut readonly, "DELETE FROM tenantry.accounts").await;
    execute(
        &mut readonly,
        "SELECT id, email, name FROM tenantry.users; SELECT * FROM tenantry.accounts",
    )
    .await;
}

pub fn migration(version: i64, sql: &str) -> Migration {
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    Migration::new(
        version,
        format!("number {version}").into(),
        MigrationType::Simple,
        sql,
        false,
    )
}

/// The built-in migrations and more.
pub fn with_more(more: Vec<Migration>) -> Migrator {
    Migrator::with_migrations(MIGRATOR.iter().cloned().chain(more).collect())
}

async fn refused(conn: &mut PgConnection, sql: &'static str) {
    let error = sqlx::raw_sql(sql).execute(conn).await.unwrap_err();
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
}

async fn nothing_left(conn: &mut PgConnection, settings: &str, before: &str) {
    assert_eq!(ask::<String>(conn, settings).await, before);
    let locks =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    assert_eq!(ask::<i64>(conn, locks).await, 0);
}
