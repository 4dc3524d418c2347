//! Spares: made ahead, taken once, and never left over.

use std::collections::HashSet;

use tenantry_catalog::operations;
use tenantry_catalog::tenants::Status as TenantStatus;
use tenantry_lifecycle::{Finished, SPARE_STEPS, Telling};

use crate::world::{World, asker, ended, wanted};
use crate::{POINTS, make};

/// The steps that a sign-up takes when it gets a spare.
const CLAIM_STEPS: [&str; 4] = ["reserve", "claim", "seed", "activate"];

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_fails_at_any_point_leaves_nothing() {
    let world = World::new().await;
    let (warm, _) = world.driver(None).await;
    make(&warm, "first").await;
    let before = world.everything().await;
    let mut failed = 0;
    for step in SPARE_STEPS {
        for point in POINTS {
            let fault = format!("spare/{step}:{point}=fail");
            let (life, _router) = world.driver_with_spares(Some(&fault), 1).await;
            life.start_workers();
            failed += 1;
            world
                .counted(
                    "SELECT count(*) FROM operations WHERE kind = 'spare' AND status = 'failed'",
                    failed,
                )
                .await;
            life.shutdown().await;
            assert_eq!(world.everything().await, before, "{step} {point}");
            world.assert_healthy(&fault).await;
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_whose_driver_is_gone_is_finished_by_another_and_good_for_a_tenant() {
    let world = World::new().await;
    let (next, router) = world.driver(None).await;
    next.start_workers();
    for (n, step) in SPARE_STEPS.iter().enumerate() {
        for (m, point) in POINTS.iter().enumerate() {
            let fault = format!("spare/{step}:{point}=leave");
            let (gone, _) = world.driver_with_spares(Some(&fault), 1).await;
            gone.start_workers();
            world
                .counted(
                    "SELECT count(*) FROM operations WHERE kind = 'spare' AND fence > 1 AND status = 'done'",
                    i64::try_from(n * POINTS.len() + m + 1).expect("few"),
                )
                .await;
            gone.shutdown().await;
            world.spares(1).await;
            let slug = format!("t{n}{m}");
            make(&next, &slug).await;
            assert_eq!(made_from(&world, &slug).await, "spare", "{step} {point}");
            crate::assert_one_seed(&router, &slug).await;
            world.assert_healthy(&fault).await;
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_that_fails_at_any_point_gives_no_spare_to_a_second_one() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    make(&life, "first").await;
    let before = world.everything().await;
    for step in CLAIM_STEPS {
        for point in POINTS {
            stock(&world, 1).await;
            let fault = format!("create/{step}:{point}=fail");
            let (life, _router) = world.driver(Some(&fault)).await;
            let started = life
                .create(wanted("acme"), asker(), None)
                .await
                .expect("a beginning");
            let end = ended(&life, started.operation_id).await;
            assert!(
                matches!(end, Finished::Failed(_)),
                "{step} {point}: {end:?}"
            );
            world.settled(started.operation_id).await;
            assert_eq!(world.everything().await, before, "{step} {point}");
            world.assert_healthy(&fault).await;
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_from_a_spare_whose_driver_is_gone_is_finished_by_another() {
    let world = World::new().await;
    let (next, router) = world.driver(None).await;
    next.start_workers();
    for (n, step) in CLAIM_STEPS.iter().enumerate() {
        for (m, point) in POINTS.iter().enumerate() {
            stock(&world, 1).await;
            let fault = format!("create/{step}:{point}=leave");
            let (gone, _) = world.driver(Some(&fault)).await;
            let slug = format!("t{n}{m}");
            let started = gone
                .create(wanted(&slug), asker(), None)
                .await
                .expect("a beginning");
            let end = ended(&next, started.operation_id).await;
            assert!(matches!(end, Finished::Done), "{step} {point}: {end:?}");
            assert_eq!(made_from(&world, &slug).await, "spare", "{step} {point}");
            let created = next
                .created(started.operation_id, Telling::Once, None)
                .await
                .expect("an answer");
            assert_eq!(created.tenant.status, TenantStatus::Active);
            assert!(created.db_password.is_some(), "{step} {point}");
            crate::assert_one_seed(&router, &slug).await;
            world.assert_healthy(&fault).await;
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ups_at_once_get_different_databases_whether_there_are_spares_or_not() {
    let world = World::new().await;
    stock(&world, 6).await;
    let (a, _) = world.driver(None).await;
    let (b, _) = world.driver(None).await;
    // On a busy machine a driver may be too slow for its lease; then another goes on.
    a.start_workers();
    let births = (0..16).map(|n| {
        let life = if n % 2 == 0 { a.clone() } else { b.clone() };
        async move {
            let started = life
                .create(wanted(&format!("t{n}")), asker(), None)
                .await
                .expect("a beginning");
            ended(&life, started.operation_id).await
        }
    });
    for end in futures::future::join_all(births).await {
        assert!(matches!(end, Finished::Done), "{end:?}");
    }
    let mut conn = world.superuser("catalog").await;
    let databases: Vec<(uuid::Uuid, String)> = sqlx::query_as(
        "SELECT d.id, o.result ->> 'database' FROM databases d JOIN operations o ON o.id = d.operation_id
         WHERE d.tenant_id IS NOT NULL",
    )
    .fetch_all(&mut conn)
    .await
    .expect("databases");
    let from_spares = databases.iter().filter(|(_, from)| from == "spare");
    assert_eq!(from_spares.count(), 6);
    let ids: HashSet<_> = databases.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 16);
    world.spares(0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_keep_one_stock_and_fill_it_up_again() {
    let world = World::new().await;
    let (a, _) = world.driver_with_spares(None, 3).await;
    let (b, _) = world.driver_with_spares(None, 3).await;
    a.start_workers();
    b.start_workers();
    world.spares(3).await;
    make(&a, "acme").await;
    assert_eq!(made_from(&world, "acme").await, "spare");
    world.spares(3).await;
    a.shutdown().await;
    b.shutdown().await;
    world
        .counted("SELECT count(*) FROM operations WHERE kind = 'spare'", 4)
        .await;
    world.end().await;
}

/// Tried with a stock that is never more than the least.
#[tokio::test(flavor = "multi_thread")]
async fn the_stock_grows_with_the_demand_up_to_what_is_set() {
    let world = World::new().await;
    let (life, _) = world.driver_with_stock(None, 1, 3).await;
    life.start_workers();
    world.spares(1).await;
    for (slug, wanted) in [("a", 1), ("b", 2), ("c", 3), ("d", 3)] {
        make(&life, slug).await;
        world.spares(wanted).await;
    }
    life.shutdown().await;
    world.spares(3).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_at_other_migrations_is_not_taken() {
    let world = World::new().await;
    stock(&world, 1).await;
    let mut conn = world.superuser("catalog").await;
    sqlx::query("UPDATE databases SET schema = 'of another version'")
        .execute(&mut conn)
        .await
        .expect("an older spare");
    let (life, _) = world.driver(None).await;
    make(&life, "acme").await;
    assert_eq!(made_from(&world, "acme").await, "template");
    world.spares(1).await;
    world.end().await;
}

/// Has so many spares made by a driver that then goes.
async fn stock(world: &World, wanted: usize) {
    let (life, _router) = world.driver_with_spares(None, wanted).await;
    life.start_workers();
    world.spares(i64::try_from(wanted).expect("few")).await;
    life.shutdown().await;
}

/// What a tenant's database was when it signed up.
async fn made_from(world: &World, slug: &str) -> String {
    let tenant = world.tenant(slug).await.expect("a tenant");
    let mut conn = world.superuser("catalog").await;
    let id: uuid::Uuid = sqlx::query_scalar(
        "SELECT id FROM operations WHERE tenant_id = $1 AND kind = 'create' AND status = 'done'",
    )
    .bind(tenant.id.as_uuid())
    .fetch_one(&mut conn)
    .await
    .expect("an operation");
    let operation = operations::by_id(&mut conn, id.into())
        .await
        .expect("read")
        .expect("there");
    let result = operation.result.expect("a result");
    result["database"].as_str().expect("a text").to_owned()
}
