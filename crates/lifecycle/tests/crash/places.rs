//! Admin sessions of a birth: how few it can do with, and that none is left to work for it when it is over.

use tenantry_lifecycle::Finished;

use crate::make;
use crate::world::{World, asker, ended, wanted};

/// What a birth holds while it waits for a second session must not be what others wait for, sessions
/// kept for the next birth included.
///
/// Seen to fail where a birth holds its session while it waits, and where a full server is an error at
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn births_need_one_place_on_the_cluster_each_and_no_second() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    life.start_workers();
    make(&life, "first").await;
    for (round, limit) in [1, 3, 2, 1].into_iter().enumerate() {
        limited(&world, limit).await;
        let births = (0..limit).map(|n| {
            let life = life.clone();
            async move { make(&life, &format!("t{round}{n}")).await }
        });
        futures::future::join_all(births).await;
        make(&life, &format!("one{round}")).await;
    }
    world.end().await;
}

/// A connection was lost, and the server still works for it: what comes of that must not come after
/// the undoing, which would never see it.
///
/// Seen to fail with an undoing that ends no sessions: the lost one went on.
#[tokio::test(flavor = "multi_thread")]
async fn an_undoing_first_ends_what_still_works_for_the_operation() {
    let world = World::new().await;
    let (gone, _router) = world.driver(Some("create/clone:before-effect=leave")).await;
    let started = gone
        .create(wanted("acme"), asker(), None)
        .await
        .expect("a beginning");
    let operation = started.operation_id;
    world.counted(crate::torn::ABANDONED, 1).await;
    // As the next driver's own second session is called.
    let mut lost = world.admin(&format!("tenantry/op/{operation}/2")).await;
    let role = "BEGIN; CREATE ROLE tnt_new_of_a_lost_session";
    sqlx::raw_sql(role).execute(&mut lost).await.expect("begun");

    let (next, _router) = world.driver(Some("create/claim:before-effect=fail")).await;
    next.start_workers();
    let end = ended(&next, operation).await;
    assert!(matches!(end, Finished::Failed(_)), "{end:?}");
    world.settled(operation).await;
    let commit = sqlx::raw_sql("COMMIT").execute(&mut lost).await;
    assert!(commit.is_err(), "the session is still open");
    next.shutdown().await;
    world.end().await;
}

async fn limited(world: &World, limit: usize) {
    let sql = format!(
        "ALTER ROLE {} CONNECTION LIMIT {limit}",
        world.admin_login()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut world.superuser("postgres").await)
        .await
        .expect("limited");
}
