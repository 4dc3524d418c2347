//! Locks that a tenant's login takes in order to keep other tenants from being made or removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use tenantry_cluster::{ClusterError, databases, names};
use tenantry_types::{DbName, Slug};

use crate::world::{World, db, sql};

crate::tests! {
    a_login_that_locks_others_databases_does_not_stop_them,
    a_login_that_locks_a_database_again_and_again_loses_against_our_statement,
    who_waits_behind_our_own_session_is_freed_too,
    a_superusers_lock_is_waited_for_and_not_broken,
}

/// Holds the lock on a database that is not the login's own, as any login can.
async fn hold(session: &mut PgConnection, database: &DbName) {
    let text = format!("ALTER ROLE CURRENT_USER IN DATABASE {database} SET work_mem = '4MB'");
    sql(session, &format!("BEGIN; {text}")).await.expect("held");
}

async fn is_ended(session: &mut PgConnection) -> bool {
    sql(session, "SELECT 1").await.is_err()
}

async fn a_login_that_locks_others_databases_does_not_stop_them(world: World) {
    let (attacker, bystander) = (world.tenant().await, world.tenant().await);
    let (born, purged) = (world.tenant().await, world.tenant().await);
    let mut holding = Vec::new();
    for login in [&attacker.logins.user, &attacker.logins.owner] {
        for database in [&born.db, &purged.db] {
            let mut session = world.login(&attacker.db, login).await.expect("in");
            hold(&mut session, database).await;
            holding.push(session);
        }
    }
    let mut innocent = world
        .login(&bystander.db, &bystander.logins.user)
        .await
        .expect("in");
    sql(&mut innocent, "BEGIN; SELECT * FROM public.things")
        .await
        .expect("works");

    let mut conn = world.conn().await;
    let slug = Slug::parse(&format!("held-{}", world.number())).expect("a slug");
    let to = names::database(&slug);
    databases::rename_with_logins(&mut conn, &born.db, &to, &born.mark)
        .await
        .expect("renamed");
    let dropped = databases::drop_forced(&mut conn, &purged.db, &purged.mark).await;
    assert!(dropped.expect("dropped"));

    for session in &mut holding {
        assert!(is_ended(session).await);
    }
    sql(&mut innocent, "COMMIT").await.expect("left alone");
}

async fn a_login_that_locks_a_database_again_and_again_loses_against_our_statement(world: World) {
    let (attacker, victim) = (world.tenant().await, world.tenant().await);
    let held = Arc::new(AtomicU32::new(0));
    let mut attackers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (world, held) = (world.clone(), Arc::clone(&held));
        let (db, user) = (attacker.db.clone(), attacker.logins.user.clone());
        // Whatever the database is called by now.
        let again = format!(
            "DO $$ DECLARE name text; BEGIN
               FOR name IN SELECT datname FROM pg_database
                           WHERE shobj_description(oid, 'pg_database') = '{}' LOOP
                 EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET work_mem = ''4MB''', name);
               END LOOP; END $$",
            victim.mark
        );
        attackers.spawn(async move {
            loop {
                let Ok(mut session) = world.login(&db, &user).await else {
                    continue;
                };
                if sql(&mut session, &format!("BEGIN; {again}")).await.is_ok() {
                    held.fetch_add(1, Ordering::SeqCst);
                    let _ = sql(&mut session, "SELECT pg_sleep(30)").await;
                }
            }
        });
    }
    while held.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut conn = world.conn().await;
    let slug = Slug::parse(&format!("again-{}", world.number())).expect("a slug");
    let to = names::database(&slug);
    databases::rename_with_logins(&mut conn, &victim.db, &to, &victim.mark)
        .await
        .expect("renamed");
    let dropped = databases::drop_forced(&mut conn, &to, &victim.mark).await;
    assert!(dropped.expect("dropped"));
    attackers.shutdown().await;
}

async fn who_waits_behind_our_own_session_is_freed_too(world: World) {
    let (attacker, victim) = (world.tenant().await, world.tenant().await);
    let mut holding = world
        .login(&attacker.db, &attacker.logins.user)
        .await
        .expect("in");
    sql(
        &mut holding,
        "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine'",
    )
    .await
    .expect("its own row is locked");
    // A session of the admin that holds the database and waits for the tenant.
    let mut ours = world.raw_admin("postgres").await;
    let text = format!(
        "BEGIN; ALTER ROLE CURRENT_USER IN DATABASE {} SET work_mem = '4MB';
         ALTER ROLE {} CONNECTION LIMIT 7; COMMIT",
        victim.db, attacker.logins.user
    );
    let ours = tokio::spawn(async move { sql(&mut ours, &text).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut conn = world.conn().await;
    let dropped = databases::drop_forced(&mut conn, &victim.db, &victim.mark).await;
    assert!(dropped.expect("dropped"));
    ours.await.expect("ran").expect("was not ended");
    assert!(is_ended(&mut holding).await);
}

async fn a_superusers_lock_is_waited_for_and_not_broken(world: World) {
    let victim = world.tenant().await;
    let mut superuser = world.superuser("postgres").await;
    hold(&mut superuser, &victim.db).await;
    let mut conn = world.conn().await;
    let error = databases::rename(&mut conn, &victim.db, &db("never"), &victim.mark)
        .await
        .expect_err("held");
    assert!(
        matches!(&error, ClusterError::Unavailable { reason, .. } if reason.contains("55P03")),
        "{error}"
    );
    sql(&mut superuser, "ROLLBACK").await.expect("still there");
}
