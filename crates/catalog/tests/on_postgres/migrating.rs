//! Migrating the catalog, closing it, and reaching it.

use std::time::{Duration, Instant};

use sqlx::migrate::MigrateError;
use tenantry_catalog::{
    CatalogError, MIGRATOR, ON_THE_WAY, check_migrated, connect, database, migrate,
};
use tenantry_types::{DbName, ErrorKind, Secret};

use crate::world::{Db, execute, sqlstate};

pub async fn two_who_migrate_at_once_both_succeed(db: Db) {
    let empty = db.empty_database("tenantry_admin").await;
    let both: Vec<_> = [empty.conn().await, empty.conn().await]
        .into_iter()
        .map(|mut conn| tokio::spawn(async move { migrate(&mut conn).await }))
        .collect();
    for one in both {
        one.await.expect("no panic").expect("migrated");
    }
    let mut conn = empty.conn().await;
    check_migrated(&mut conn).await.expect("complete");
    let locks: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(&mut conn)
    .await
    .expect("counted");
    assert_eq!(locks, 0, "the lock was given back");
}

pub async fn an_unmigrated_or_changed_catalog_is_refused(db: Db) {
    let empty = db.empty_database("tenantry_admin").await;
    let mut conn = empty.conn().await;
    let all = MIGRATOR.iter().count();
    let refused = check_migrated(&mut conn).await.expect_err("nothing there");
    assert!(matches!(refused, CatalogError::NotMigrated { missing } if missing == all));
    assert!(refused.to_string().contains("tenantry catalog migrate"));
    migrate(&mut conn).await.expect("migrated");

    execute(&mut conn, "DELETE FROM _sqlx_migrations WHERE version = 5").await;
    let refused = check_migrated(&mut conn).await.expect_err("one is missing");
    assert!(matches!(refused, CatalogError::NotMigrated { missing: 1 }));

    let mut conn = db.conn().await;
    // A newer program was here: the old one goes on.
    execute(&mut conn, "INSERT INTO _sqlx_migrations SELECT 9999, description, now(), true, checksum, 1 FROM _sqlx_migrations WHERE version = 1").await;
    check_migrated(&mut conn).await.expect("complete");
    migrate(&mut conn).await.expect("nothing to do");
    execute(
        &mut conn,
        "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 2",
    )
    .await;
    for refused in [check_migrated(&mut conn).await, migrate(&mut conn).await] {
        let refused = refused.expect_err("one was changed");
        assert!(matches!(
            refused,
            CatalogError::Migrate(MigrateError::VersionMismatch(2))
        ));
    }
}

pub async fn a_login_of_the_server_cannot_connect(db: Db) {
    let stranger = format!("{}_stranger", db.name);
    execute(
        &mut db.superuser().await,
        &format!("CREATE ROLE {stranger} LOGIN PASSWORD 'x'"),
    )
    .await;
    // A clone is as open as any new database.
    db.login(&stranger, "x").await.expect("open before");
    migrate(&mut db.conn().await).await.expect("migrated");
    let refused = db.login(&stranger, "x").await.expect_err("closed");
    assert_eq!(sqlstate(&refused), "42501");
    db.conn().await;
}

pub async fn a_database_that_cannot_be_closed_is_an_error(db: Db) {
    let empty = db.empty_database("postgres").await;
    let mut superuser = empty.superuser().await;
    execute(
        &mut superuser,
        "GRANT CREATE ON SCHEMA public TO tenantry_admin",
    )
    .await;
    let mut conn = empty.conn().await;
    let refused = migrate(&mut conn).await.expect_err("not ours to close");
    assert!(matches!(&refused, CatalogError::OpenToPublic(name) if *name == empty.name));
    check_migrated(&mut conn)
        .await
        .expect("migrated for all that");
    // What the message says helps; what stays open of the schema is out of reach then.
    execute(
        &mut superuser,
        &format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", empty.name),
    )
    .await;
    migrate(&mut conn).await.expect("closed");
}

pub async fn a_catalog_that_is_down_is_unavailable_at_once(db: Db) {
    let url = |port: u16, password: &str| {
        let name = &db.name;
        Secret::new(format!(
            "postgres://tenantry_admin:{password}@127.0.0.1:{port}/{name}"
        ))
    };
    let pool = connect(&url(db.port(), "of-the-test"), 2, ON_THE_WAY, "a test")
        .await
        .expect("connected");
    let name: String = sqlx::query_scalar("SELECT current_setting('application_name')")
        .fetch_one(&pool)
        .await
        .expect("read");
    assert_eq!(name, "a test");

    let began = Instant::now();
    let down = connect(&url(1, "of-the-test"), 2, ON_THE_WAY, "a test")
        .await
        .expect_err("nobody listens");
    assert_eq!(
        (down.kind(), down.code()),
        (ErrorKind::Unavailable, "CATALOG_UNAVAILABLE")
    );
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    let wrong = connect(&url(db.port(), "wrong"), 2, ON_THE_WAY, "a test")
        .await
        .expect_err("refused");
    assert_eq!(wrong.kind(), ErrorKind::Internal);
    assert!(!format!("{wrong} {wrong:?}").contains("wrong@"));

    // All connections in use: the next caller is told soon.
    let held = (
        pool.acquire().await.expect("one"),
        pool.acquire().await.expect("two"),
    );
    let busy = CatalogError::from(pool.acquire().await.expect_err("none left"));
    assert_eq!(busy.kind(), ErrorKind::Unavailable);
    drop(held);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );

    // A connection that the server ended is no fault of ours.
    let mut conn = db.conn().await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut conn)
        .await
        .expect("read");
    execute(
        &mut db.superuser().await,
        &format!("SELECT pg_terminate_backend({pid})"),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ended = check_migrated(&mut conn).await.expect_err("ended");
    assert_eq!(ended.kind(), ErrorKind::Unavailable, "{ended:?}");
}

pub async fn a_catalog_is_created_once(db: Db) {
    let port = db.port();
    let url = Secret::new(format!(
        "postgres://tenantry_admin:of-the-test@127.0.0.1:{port}/postgres"
    ));
    let name = DbName::parse(format!("{}_fresh", db.name)).expect("a name");
    let makers: Vec<_> = (0..3)
        .map(|_| {
            let (url, name) = (url.clone(), name.clone());
            tokio::spawn(async move { database::ensure(&url, &name).await })
        })
        .collect();
    let mut made = 0;
    for maker in makers {
        made += usize::from(maker.await.expect("no panic").expect("ensured"));
    }
    assert_eq!(made, 1);
}
