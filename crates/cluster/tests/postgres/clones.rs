//! Which databases are taken for ours, made, finished and dropped, and which never.

use std::time::{Duration, Instant};

use sqlx::Connection;
use tenantry_cluster::{ClusterError, databases, names};

use crate::world::{World, db, one, sql, state};

crate::tests! {
    a_clone_that_a_crash_left_unmarked_is_finished,
    what_cannot_be_proven_ours_is_neither_taken_nor_dropped,
    a_drop_wins_against_clients_that_come_back_at_once,
    what_a_torn_drop_left_is_made_anew_or_dropped,
    a_clone_waits_for_a_template_in_use,
    statements_on_a_row_that_another_session_writes_are_tried_again,
}

async fn a_clone_that_a_crash_left_unmarked_is_finished(world: World) {
    let (mark, mut conn) = (world.mark(), world.conn().await);
    let name = names::spare(mark.database);
    let mut admin = world.raw_admin("postgres").await;
    let make = format!(
        "CREATE DATABASE {name} TEMPLATE {} ALLOW_CONNECTIONS false",
        world.template
    );
    sql(&mut admin, &make).await.expect("made");
    databases::create_closed(&mut conn, &name, &world.template, &mark)
        .await
        .expect("finished");
    assert_eq!(
        databases::mark_of(&mut conn, &name).await.expect("asked"),
        Some(mark)
    );
    assert_eq!(
        state(world.open(name.as_str(), "tenantry_admin", "admin").await),
        "55000",
        "it is closed"
    );
    assert!(
        databases::drop_forced(&mut conn, &name, &mark)
            .await
            .expect("dropped")
    );
    assert!(
        !databases::drop_forced(&mut conn, &name, &mark)
            .await
            .expect("absent")
    );
    sql(&mut admin, &make).await.expect("made again");
    assert!(
        databases::drop_forced(&mut conn, &name, &mark)
            .await
            .expect("dropped unmarked")
    );
}

async fn what_cannot_be_proven_ours_is_neither_taken_nor_dropped(world: World) {
    let mut conn = world.conn().await;
    let mut admin = world.raw_admin("postgres").await;
    let mut superuser = world.superuser("postgres").await;
    let (mark, other) = (world.mark(), world.mark());
    let strange = db(&format!("strange_{}", world.number()));
    let spare = |mark: tenantry_cluster::Mark| names::spare(mark.database);
    let marks = [world.mark(), world.mark(), world.mark()];
    // Without a mark under a plain name; open; with a comment of others; owned by somebody else.
    sql(
        &mut admin,
        &format!("CREATE DATABASE {strange} ALLOW_CONNECTIONS false"),
    )
    .await
    .expect("made");
    sql(&mut admin, &format!("CREATE DATABASE {}", spare(marks[0])))
        .await
        .expect("made");
    sql(
        &mut admin,
        &format!(
            "CREATE DATABASE {} ALLOW_CONNECTIONS false",
            spare(marks[1])
        ),
    )
    .await
    .expect("made");
    sql(
        &mut admin,
        &format!("COMMENT ON DATABASE {} IS 'mine'", spare(marks[1])),
    )
    .await
    .expect("marked");
    sql(
        &mut superuser,
        &format!(
            "CREATE DATABASE {} ALLOW_CONNECTIONS false",
            spare(marks[2])
        ),
    )
    .await
    .expect("made");
    let mut cases = vec![(strange, mark)];
    cases.extend(marks.map(|mark| (spare(mark), mark)));
    // One of ours, under the mark of another database, and of another installation.
    databases::create_closed(&mut conn, &spare(mark), &world.template, &mark)
        .await
        .expect("made");
    let mut foreign = mark;
    foreign.installation = uuid::Uuid::from_u128(1).into();
    cases.extend([(spare(mark), other), (spare(mark), foreign)]);
    for (name, mark) in cases {
        for outcome in [
            databases::create_closed(&mut conn, &name, &world.template, &mark).await,
            databases::mark(&mut conn, &name, &mark).await,
            databases::prepare(&mut conn, &name, &mark).await,
            databases::rename(&mut conn, &name, &db("elsewhere"), &mark).await,
            databases::drop_forced(&mut conn, &name, &mark)
                .await
                .map(drop),
        ] {
            assert!(
                matches!(outcome, Err(ClusterError::NotOurs(_))),
                "{name} {mark}: {outcome:?}"
            );
        }
        assert!(
            databases::exists(&mut conn, &name).await.expect("asked"),
            "{name}"
        );
    }
}

async fn a_drop_wins_against_clients_that_come_back_at_once(world: World) {
    let tenant = world.tenant().await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (world, name, login) = (world.clone(), tenant.db.clone(), tenant.logins.user.clone());
        clients.spawn(async move {
            loop {
                if let Ok(mut session) = world.login(&name, &login).await {
                    let _ = sql(&mut session, "SELECT pg_sleep(60)").await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let dropped = databases::drop_forced(&mut world.conn().await, &tenant.db, &tenant.mark).await;
    clients.abort_all();
    assert!(dropped.expect("dropped"));
    let mut superuser = world.superuser("postgres").await;
    let text = format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{}'",
        tenant.db.as_str()
    );
    assert_eq!(one::<i64>(&mut superuser, &text).await, 0);
}

async fn what_a_torn_drop_left_is_made_anew_or_dropped(world: World) {
    let (mark, mut conn) = (world.mark(), world.conn().await);
    let name = names::spare(mark.database);
    let mut superuser = world.superuser("postgres").await;
    // As `DROP DATABASE` leaves it when the server crashes in it (datconnlimit, pg_database in the manual).
    let tear = format!(
        "UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{}'",
        name.as_str()
    );
    for _ in 0..2 {
        databases::create_closed(&mut conn, &name, &world.template, &mark)
            .await
            .expect("made");
        sql(&mut superuser, &tear).await.expect("torn");
    }
    databases::create_closed(&mut conn, &name, &world.template, &mark)
        .await
        .expect("made anew");
    databases::open(&mut conn, &name)
        .await
        .expect("a sound database");
    sql(&mut superuser, &tear).await.expect("torn");
    assert!(
        databases::drop_forced(&mut conn, &name, &mark)
            .await
            .expect("dropped")
    );
}

async fn a_clone_waits_for_a_template_in_use(world: World) {
    let mut conn = world.conn().await;
    let (source, copy) = (world.mark(), world.mark());
    let template = names::spare(source.database);
    databases::create_closed(&mut conn, &template, &world.template, &source)
        .await
        .expect("made");
    databases::revoke_public(&mut conn, &template)
        .await
        .expect("closed to all");
    databases::open(&mut conn, &template).await.expect("opened");
    let visitor = world.superuser(template.as_str()).await;
    let visit = tokio::spawn(async move {
        // Postgres waits 5 seconds for visitors to leave before it refuses.
        tokio::time::sleep(Duration::from_secs(6)).await;
        visitor.close().await.expect("left");
    });
    let begun = Instant::now();
    databases::create_closed(&mut conn, &names::spare(copy.database), &template, &copy)
        .await
        .expect("cloned");
    assert!(
        begun.elapsed() > Duration::from_secs(5),
        "it was refused once"
    );
    visit.await.expect("left");
}

async fn statements_on_a_row_that_another_session_writes_are_tried_again(world: World) {
    let tenant = world.tenant().await;
    let mut conn = world.conn().await;
    for end in ["ROLLBACK", "COMMIT"] {
        let mut other = world.raw_admin("postgres").await;
        let write = format!(
            "BEGIN; REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC",
            tenant.db
        );
        sql(&mut other, &write).await.expect("written");
        let ending = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            sql(&mut other, end).await.expect("ended");
        });
        databases::admit(&mut conn, &tenant.db, &tenant.logins.first())
            .await
            .expect(end);
        ending.await.expect("ended");
    }
}
