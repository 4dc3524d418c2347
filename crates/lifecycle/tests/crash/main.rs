//! Each step of each operation, cut off or failed at each of its points: the world is whole again.
//!
//! Real Postgres throughout; a driver that "leaves" behaves as one whose process was killed, but for
//! its open sessions, which is the harder case: the next driver has to end them.
#![expect(clippy::expect_used, reason = "a test says with a panic what is wrong")]

mod adoptions;
mod places;
mod rotations;
mod spares;
mod torn;
mod world;

use tenantry_catalog::tenants::{Status as TenantStatus, TenantRef};
use tenantry_lifecycle::{
    CREATE_STEPS, DELETE_STEPS, Finished, Idempotency, Lifecycle, PURGE_STEPS, RESUME_STEPS,
    SUSPEND_STEPS, StartError, Telling, UNDELETE_STEPS,
};
use tenantry_types::{Reason, Slug};
use world::{World, asker, ended, wanted};

pub(crate) const POINTS: [&str; 3] = ["before-effect", "after-effect", "after-record"];

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_fails_at_any_point_leaves_nothing() {
    let world = World::new().await;
    let (warm, _) = world.driver(None).await;
    make(&warm, "first").await;
    let before = world.everything().await;
    for step in CREATE_STEPS {
        for point in POINTS {
            let (life, _router) = world
                .driver(Some(&format!("create/{step}:{point}=fail")))
                .await;
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
            world.assert_healthy(&format!("{step} {point}")).await;
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_driver_is_gone_is_finished_by_another() {
    let world = World::new().await;
    let (next, router) = world.driver(None).await;
    next.start_workers();
    for (n, step) in CREATE_STEPS.iter().enumerate() {
        for (m, point) in POINTS.iter().enumerate() {
            let (gone, _) = world
                .driver(Some(&format!("create/{step}:{point}=leave")))
                .await;
            let slug = format!("t{n}{m}");
            let started = gone
                .create(wanted(&slug), asker(), None)
                .await
                .expect("a beginning");
            let end = ended(&next, started.operation_id).await;
            assert!(matches!(end, Finished::Done), "{step} {point}: {end:?}");
            let created = next
                .created(started.operation_id, Telling::Once, None)
                .await
                .expect("an answer");
            assert!(created.db_password.is_some(), "{step} {point}");
            assert_eq!(created.tenant.status, TenantStatus::Active);
            assert_one_seed(&router, &slug).await;
            world.assert_healthy(&format!("{step} {point}")).await;
        }
    }
    // Nothing of a running operation is kept once it has ended, and an answer is told once.
    let everything = world.everything().await;
    let secrets = everything
        .catalog
        .iter()
        .find(|(table, _)| table == "operation_secrets");
    assert_eq!(secrets.map(|(_, rows)| *rows), Some(0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_driver_is_gone_is_finished_by_another() {
    let world = World::new().await;
    let (next, _router) = world.driver(None).await;
    next.start_workers();
    let empty = world.everything().await;
    for step in DELETE_STEPS {
        for point in POINTS {
            make(&next, "acme").await;
            let (gone, _) = world
                .driver(Some(&format!("delete/{step}:{point}=leave")))
                .await;
            delete(&gone, &next, false).await;
            let tenant = world.tenant("acme").await.expect("a tombstone");
            assert_eq!(tenant.status, TenantStatus::Deleting, "{step} {point}");
            assert_no_login(&world).await;
            world
                .assert_healthy(&format!("delete {step} {point}"))
                .await;
            for (step, point) in UNDELETE_STEPS.iter().zip(POINTS) {
                let (gone, _) = world
                    .driver(Some(&format!("undelete/{step}:{point}=leave")))
                    .await;
                let back = gone.undelete(&acme(), asker()).await.expect("a beginning");
                assert!(matches!(
                    ended(&next, back.operation_id).await,
                    Finished::Done
                ));
                assert_eq!(
                    world.tenant("acme").await.expect("it is back").status,
                    TenantStatus::Active
                );
                world
                    .assert_healthy(&format!("undelete {step} {point}"))
                    .await;
                delete(&next, &next, false).await;
            }
            delete(&next, &next, true).await;
            assert_eq!(
                world.everything().await.databases,
                empty.databases,
                "{step} {point}"
            );
        }
    }
    for step in PURGE_STEPS {
        for point in POINTS {
            make(&next, "acme").await;
            let (gone, _) = world
                .driver(Some(&format!("purge/{step}:{point}=leave")))
                .await;
            delete(&gone, &next, true).await;
            let left = world.everything().await;
            let rows: i64 = left.catalog.iter().map(|(_, rows)| rows).sum();
            assert_eq!(rows, 0, "{step} {point}: {left:?}");
            assert_eq!(left.databases, empty.databases, "{step} {point}");
            assert!(
                !left.roles.iter().any(|role| role.starts_with("tenant_")),
                "{step} {point}"
            );
            world.assert_healthy(&format!("purge {step} {point}")).await;
        }
    }
    world.end().await;
}

/// Tried with a fence that leaves the product's login out.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_and_a_resumption_whose_driver_is_gone_are_finished_by_another() {
    let world = World::new().await;
    let (next, _router) = world.driver(None).await;
    next.start_workers();
    make(&next, "acme").await;
    let whole = world.everything().await;
    assert_eq!(SUSPEND_STEPS.len(), RESUME_STEPS.len());
    for (out, back) in SUSPEND_STEPS.iter().zip(RESUME_STEPS) {
        for point in POINTS {
            let fault = format!("suspend/{out}:{point}=leave");
            let (gone, _) = world.driver(Some(&fault)).await;
            let turned = gone.suspend(&acme(), &unpaid(), asker()).await;
            let operation = turned.expect("a beginning").operation_id;
            let end = ended(&next, operation.expect("an operation")).await;
            assert!(matches!(end, Finished::Done), "{fault}: {end:?}");
            let tenant = world.tenant("acme").await.expect("it is there");
            assert_eq!(tenant.status, TenantStatus::Suspended, "{fault}");
            assert_eq!(tenant.status_reason.as_deref(), Some("Unpaid."), "{fault}");
            assert!(tenant.suspended_at.is_some(), "{fault}");
            assert_eq!(logins(&world).await, ["tenant_acme_owner"], "{fault}");
            world.assert_healthy(&fault).await;

            let fault = format!("resume/{back}:{point}=leave");
            let (gone, _) = world.driver(Some(&fault)).await;
            let turned = gone.resume(&acme(), asker()).await;
            let operation = turned.expect("a beginning").operation_id;
            let end = ended(&next, operation.expect("an operation")).await;
            assert!(matches!(end, Finished::Done), "{fault}: {end:?}");
            let tenant = world.tenant("acme").await.expect("it is there");
            assert_eq!(tenant.status, TenantStatus::Active, "{fault}");
            assert_eq!((tenant.status_reason, tenant.suspended_at), (None, None));
            assert_eq!(logins(&world).await.len(), 3, "{fault}");
            world.assert_healthy(&fault).await;
        }
    }
    assert_eq!(world.everything().await, whole);
    world.end().await;
}

/// Tried with an undeletion that makes every tenant active.
#[tokio::test(flavor = "multi_thread")]
async fn an_undeletion_of_a_suspended_tenant_is_finished_by_another() {
    let world = World::new().await;
    let (next, _router) = world.driver(None).await;
    next.start_workers();
    make(&next, "acme").await;
    let turned = next.suspend(&acme(), &unpaid(), asker()).await;
    ended(
        &next,
        turned.expect("a beginning").operation_id.expect("one"),
    )
    .await;
    for step in UNDELETE_STEPS {
        for point in POINTS {
            delete(&next, &next, false).await;
            assert_no_login(&world).await;
            let fault = format!("undelete/{step}:{point}=leave");
            let (gone, _) = world.driver(Some(&fault)).await;
            let back = gone.undelete(&acme(), asker()).await.expect("a beginning");
            let end = ended(&next, back.operation_id).await;
            assert!(matches!(end, Finished::Done), "{fault}: {end:?}");
            let tenant = world.tenant("acme").await.expect("it is back");
            assert_eq!(tenant.status, TenantStatus::Suspended, "{fault}");
            assert_eq!(tenant.status_reason.as_deref(), Some("Unpaid."), "{fault}");
            assert_eq!(logins(&world).await, ["tenant_acme_owner"], "{fault}");
        }
    }
    world.end().await;
}

/// Tried without the look for a running operation: the second one answers at once, and nothing is true yet.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_promised_while_a_suspension_is_on_its_way() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    make(&life, "acme").await;
    let (gone, _) = world
        .driver(Some("suspend/fence:before-effect=leave"))
        .await;
    let begun = gone.suspend(&acme(), &unpaid(), asker()).await;
    let running = begun.expect("a beginning").operation_id.expect("one");
    let again = life.suspend(&acme(), &unpaid(), asker()).await;
    assert!(
        matches!(again, Err(StartError::InProgress(id)) if id == running),
        "{again:?}"
    );
    let back = life.resume(&acme(), asker()).await;
    assert!(matches!(back, Err(StartError::InProgress(id)) if id == running));
    let slug = Slug::parse("other").expect("a slug");
    let renamed = life.rename(&acme(), &slug, None, &asker()).await;
    assert!(matches!(renamed, Err(StartError::InProgress(id)) if id == running));
    life.start_workers();
    assert!(matches!(ended(&life, running).await, Finished::Done));
    let again = life.suspend(&acme(), &unpaid(), asker()).await;
    assert_eq!(again.expect("nothing to do").operation_id, None);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operation_per_tenant_and_names_are_held_until_the_purge() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    make(&life, "acme").await;
    let taken = life.create(wanted("acme"), asker(), None).await;
    assert!(matches!(taken, Err(StartError::SlugTaken)), "{taken:?}");

    // Its driver is gone and nobody takes it up: the tenant is busy, others are not.
    let (gone, _) = world.driver(Some("delete/fence:before-effect=leave")).await;
    gone.delete(&acme(), false, asker())
        .await
        .expect("a beginning");
    let busy = life.undelete(&acme(), asker()).await;
    assert!(matches!(busy, Err(StartError::InProgress(_))), "{busy:?}");
    make(&life, "other").await;
    let reserved = life.create(wanted("acme"), asker(), None).await;
    assert!(
        matches!(reserved, Err(StartError::SlugTaken)),
        "{reserved:?}"
    );

    life.start_workers();
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while delete_now(&life).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("the delete is taken up and a purge follows");
    make(&life, "acme").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_period_that_ends_is_a_purge_and_one_that_was_ended_by_an_undelete_is_not() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    make(&life, "acme").await;
    make(&life, "other").await;
    delete(&life, &life, false).await;
    let other = TenantRef::Slug(Slug::parse("other").expect("a slug"));
    let deleted = life
        .delete(&other, false, asker())
        .await
        .expect("a beginning");
    ended(&life, deleted.operation_id.expect("an operation")).await;
    let back = life.undelete(&other, asker()).await.expect("a beginning");
    ended(&life, back.operation_id).await;

    world.clock.advance(chrono::Duration::days(8));
    life.start_workers();
    tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while world.tenant("acme").await.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("purged");
    assert_eq!(
        world.tenant("other").await.expect("it lives").status,
        TenantStatus::Active
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_births_at_once_all_succeed() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    life.start_workers();
    let births = (0..50).map(|n| {
        let life = life.clone();
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
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_requests_at_once_under_one_key_are_one_birth() {
    let world = World::new().await;
    let (life, _router) = world.driver(None).await;
    let operator = world.operator().await;
    let key = |hash| Idempotency {
        operator,
        key: "k".to_owned(),
        request_hash: [hash; 32],
    };
    let births = (0..8).map(|_| life.create(wanted("acme"), asker(), Some(key(1))));
    let mut operations = Vec::new();
    for started in futures::future::join_all(births).await {
        operations.push(started.expect("a beginning or its replay").operation_id);
    }
    operations.dedup();
    assert_eq!(operations.len(), 1);
    assert!(matches!(ended(&life, operations[0]).await, Finished::Done));

    let other = life.create(wanted("acme"), asker(), Some(key(2))).await;
    assert!(matches!(other, Err(StartError::KeyReused)), "{other:?}");
    // Each replay is told the same; who only reads the operation is told nothing any more.
    for (telling, told) in [
        (Telling::AndKeep, true),
        (Telling::Once, false),
        (Telling::AndKeep, true),
    ] {
        let answer = life
            .created(operations[0], telling, None)
            .await
            .expect("an answer");
        assert_eq!(answer.db_password.is_some(), told, "{telling:?}");
    }
    world.end().await;
}

fn unpaid() -> Reason {
    Reason::parse("Unpaid.").expect("a reason")
}

/// Those of the tenant's logins that are let in.
async fn logins(world: &World) -> Vec<String> {
    let mut conn = world.superuser("postgres").await;
    sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tenant\\_acme\\_%' AND rolcanlogin
         ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .expect("roles")
}

fn acme() -> TenantRef {
    TenantRef::Slug(Slug::parse("acme").expect("a slug"))
}

pub(crate) async fn make(life: &Lifecycle, slug: &str) {
    let started = life
        .create(wanted(slug), asker(), None)
        .await
        .expect("a beginning");
    let end = ended(life, started.operation_id).await;
    assert!(matches!(end, Finished::Done), "{end:?}");
    life.created(started.operation_id, Telling::Once, None)
        .await
        .expect("an answer");
}

/// Begun by one driver, waited for at another.
async fn delete(begins: &Lifecycle, waits: &Lifecycle, purge: bool) {
    let deletion = begins
        .delete(&acme(), purge, asker())
        .await
        .expect("a beginning");
    let end = ended(waits, deletion.operation_id.expect("an operation")).await;
    assert!(matches!(end, Finished::Done), "{end:?}");
}

async fn delete_now(life: &Lifecycle) -> Result<(), StartError> {
    let deletion = life.delete(&acme(), true, asker()).await?;
    let end = ended(life, deletion.operation_id.expect("an operation")).await;
    assert!(matches!(end, Finished::Done), "{end:?}");
    Ok(())
}

/// A repeated seed has written each row once, and the first person can be found.
async fn assert_one_seed(router: &tenantry_router::Router, slug: &str) {
    let tenant = TenantRef::Slug(Slug::parse(slug).expect("a slug"));
    let route = router.resolve_tenant(&tenant).await.expect("a route");
    // What drivers that are gone hold of the cluster's connections is freed after their leases.
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    let mut conn = loop {
        match router.acquire(&route).await {
            Ok(conn) => break conn,
            Err(tenantry_router::AcquireError::Busy(_)) if tokio::time::Instant::now() < until => {}
            Err(error) => panic!("no connection: {error:?}"),
        }
    };
    let counts: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM tenantry.users), (SELECT count(*) FROM tenantry.roles),
                (SELECT count(*) FROM tenantry.user_roles)",
    )
    .fetch_one(&mut *conn)
    .await
    .expect("rows");
    conn.release();
    assert_eq!(counts, (1, 3, 1));
}

async fn assert_no_login(world: &World) {
    let mut conn = world.superuser("postgres").await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'tenant\\_acme\\_%' AND rolcanlogin",
    )
    .fetch_all(&mut conn)
    .await
    .expect("roles");
    assert_eq!(open, Vec::<String>::new());
}
