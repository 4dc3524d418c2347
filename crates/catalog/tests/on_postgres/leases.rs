//! Leases and fences of operations.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use sqlx::Connection;
use tenantry_catalog::journal::{self, Event};
use tenantry_catalog::operations::{self, InsertError, Status};
use tenantry_types::{OperationId, Secret};

use crate::world::{ADMIN, Db, LONG, PASSWORD, execute, waits};

const ENDED: Duration = Duration::ZERO;

pub async fn a_worker_with_an_old_fence_changes_nothing(db: Db) {
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, ENDED).await.expect("begun");
    let taken = operations::claim_next(&mut conn, db.holder(), LONG).await;
    assert_eq!(
        taken.expect("asked").map(|op| (op.id, op.fence)),
        Some((id, 2))
    );
    let before = operations::by_id(&mut conn, id).await.expect("read");

    let value = json!({"stale": true});
    let c = &mut conn;
    for (what, wrote) in [
        ("renew", operations::renew(c, id, 1, LONG).await),
        ("release", operations::release(c, id, 1).await),
        ("hold", operations::hold(c, id, 1).await),
        (
            "set_status",
            operations::set_status(c, id, 1, Status::Undoing, Some(&value)).await,
        ),
        ("set_params", operations::set_params(c, id, 1, &value).await),
        (
            "done",
            operations::finish(c, id, 1, Status::Done, Some(&value), None).await,
        ),
        (
            "failed",
            operations::finish(c, id, 1, Status::Failed, None, Some(&value)).await,
        ),
        (
            "journal",
            journal::append(c, id, 1, "step", Event::Done, &value).await,
        ),
        (
            "turn",
            journal::advance(c, id, 1, Some("step"), Some("next"))
                .await
                .map(|advanced| advanced != journal::Advanced::Lost),
        ),
        (
            "complete",
            operations::complete(c, id, 1, "step", &value).await,
        ),
    ] {
        assert!(!wrote.expect("asked"), "{what}");
    }
    assert_eq!(operations::by_id(c, id).await.expect("read"), before);
    assert_eq!(journal::of(c, id).await.expect("read"), []);
    let next = operations::claim_next(c, db.holder(), LONG).await;
    assert_eq!(next.expect("asked"), None, "the lease was not released");

    // The worker with the newest fence may do all of it, until the end.
    assert!(operations::renew(c, id, 2, LONG).await.expect("asked"));
    assert!(operations::hold(c, id, 2).await.expect("asked"));
    assert!(
        operations::set_params(c, id, 2, &json!({"n": 2}))
            .await
            .expect("asked")
    );
    assert!(
        journal::append(c, id, 2, "step", Event::Done, &json!({}))
            .await
            .expect("asked")
    );
    let end = operations::finish(c, id, 2, Status::Done, Some(&json!({"ok": 1})), None).await;
    assert!(end.expect("asked"));
    assert!(
        !journal::append(c, id, 2, "step", Event::Done, &json!({}))
            .await
            .expect("asked")
    );
    assert!(!operations::renew(c, id, 2, LONG).await.expect("asked"));
    let end = operations::finish(c, id, 2, Status::Failed, None, Some(&value)).await;
    assert!(!end.expect("asked"), "it ends once");
    let ended = operations::by_id(c, id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (ended.status, ended.result, ended.error),
        (Status::Done, Some(json!({"ok": 1})), None)
    );
    assert_eq!(ended.params, json!({"n": 2}));
    assert!(ended.finished_at.is_some());
}

pub async fn only_a_lease_that_has_ended_is_taken(db: Db) {
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, LONG).await.expect("begun");
    assert_eq!(operations::open_count(&mut conn).await.expect("counted"), 1);
    let none = operations::claim_next(&mut conn, db.holder(), LONG).await;
    assert_eq!(none.expect("asked"), None);
    // Given back, it can be taken at once.
    assert!(
        operations::release(&mut conn, id, 1)
            .await
            .expect("released")
    );
    let second = operations::claim_next(&mut conn, db.holder(), ENDED).await;
    assert_eq!(second.expect("asked").map(|op| op.fence), Some(2));
    // Its time ran out, but nobody took it: the one who has it may go on.
    assert!(
        operations::renew(&mut conn, id, 2, Duration::from_millis(200))
            .await
            .expect("renewed")
    );
    let none = operations::claim_next(&mut conn, db.holder(), LONG).await;
    assert_eq!(none.expect("asked"), None);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let third = operations::claim_next(&mut conn, db.holder(), LONG).await;
    assert_eq!(third.expect("asked").map(|op| op.fence), Some(3));
}

pub async fn of_many_workers_each_operation_gets_one(db: Db) {
    const OPERATIONS: usize = 40;
    let mut conn = db.conn().await;
    let mut all = HashSet::new();
    for _ in 0..OPERATIONS {
        all.insert(db.operation(&mut conn, None, ENDED).await.expect("begun"));
    }
    let mut workers = Vec::new();
    for _ in 0..8 {
        let (mut conn, holder) = (db.conn().await, db.holder());
        workers.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Some(op) = operations::claim_next(&mut conn, holder, LONG)
                .await
                .expect("asked")
            {
                assert_eq!(op.fence, 2);
                taken.push(op.id);
            }
            taken
        }));
    }
    let mut taken: Vec<OperationId> = Vec::new();
    for worker in workers {
        taken.extend(worker.await.expect("no panic"));
    }
    // A worker stops when what is left is being taken by others, so that all are taken.
    assert_eq!(taken.len(), OPERATIONS);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>(), all);
}

pub async fn a_held_operation_is_not_taken_and_still_renewed(db: Db) {
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, ENDED).await.expect("begun");
    let mut tx = conn.begin().await.expect("begun");
    assert!(operations::hold(&mut tx, id, 1).await.expect("held"));

    let mut other = db.conn().await;
    let none = operations::claim_next(&mut other, db.holder(), LONG).await;
    assert_eq!(none.expect("asked"), None, "a worker is writing");
    let renewal = operations::renew(&mut other, id, 1, ENDED);
    let renewed = tokio::time::timeout(Duration::from_secs(2), renewal).await;
    assert!(renewed.expect("not held up").expect("renewed"));
    tx.commit().await.expect("committed");
    let taken = operations::claim_next(&mut other, db.holder(), LONG).await;
    assert_eq!(taken.expect("asked").map(|op| op.fence), Some(2));
}

pub async fn a_claim_in_flight_makes_the_old_worker_wait_and_lose(db: Db) {
    for how in ["hold", "journal", "params"] {
        let mut conn = db.conn().await;
        let id = db.operation(&mut conn, None, ENDED).await.expect("begun");
        let mut tx = conn.begin().await.expect("begun");
        let taken = operations::claim_next(&mut tx, db.holder(), LONG).await;
        assert_eq!(taken.expect("asked").map(|op| op.id), Some(id));

        let mut stale = db.conn().await;
        let mut old = tokio::spawn(async move {
            match how {
                "hold" => operations::hold(&mut stale, id, 1).await,
                "journal" => {
                    journal::append(&mut stale, id, 1, "step", Event::Done, &json!({})).await
                }
                _ => operations::set_params(&mut stale, id, 1, &json!({})).await,
            }
        });
        assert!(waits(&mut old).await, "{how}");
        tx.commit().await.expect("committed");
        assert!(!old.await.expect("no panic").expect("asked"), "{how}");
    }
}

pub async fn a_tenant_has_one_operation_at_a_time(db: Db) {
    let tenant = db.tenant_id();
    let mut conn = db.conn().await;
    let first = db
        .operation(&mut conn, Some(tenant), LONG)
        .await
        .expect("begun");
    db.operation(&mut conn, Some(db.tenant_id()), LONG)
        .await
        .expect("another tenant's");

    // Refused, and the transaction goes on.
    let mut tx = conn.begin().await.expect("begun");
    let refused = db.operation(&mut tx, Some(tenant), LONG).await;
    assert!(matches!(refused, Err(InsertError::OperationInProgress(id)) if id == first));
    execute(&mut tx, "SELECT 1").await;
    tx.commit().await.expect("committed");

    for status in [Status::Undoing, Status::Parked] {
        let set = operations::set_status(&mut conn, first, 1, status, Some(&json!("why"))).await;
        assert!(set.expect("set"));
        let refused = db.operation(&mut conn, Some(tenant), LONG).await;
        assert!(matches!(refused, Err(InsertError::OperationInProgress(id)) if id == first));
    }
    let second = db.tenant_id();
    let id = db
        .operation(&mut conn, Some(second), LONG)
        .await
        .expect("begun");
    let end = operations::finish(&mut conn, id, 1, Status::Failed, None, Some(&json!("why"))).await;
    assert!(end.expect("ended"));
    let running = operations::running_for_tenant(&mut conn, second)
        .await
        .expect("read");
    assert_eq!(running, None);
    let next = db
        .operation(&mut conn, Some(second), LONG)
        .await
        .expect("the tenant is free");
    let running = operations::running_for_tenant(&mut conn, second)
        .await
        .expect("read");
    assert_eq!(running, Some(next));
}

pub async fn of_two_operations_begun_at_once_one_is_refused(db: Db) {
    let tenant = db.tenant_id();
    for commits in [true, false] {
        let (mut one, mut two) = (db.conn().await, db.conn().await);
        let mut first = one.begin().await.expect("begun");
        let winner = db
            .operation(&mut first, Some(tenant), LONG)
            .await
            .expect("begun");
        let new = OperationId::generate(&db.clock, &db.entropy);
        let holder = db.holder();
        let mut second = tokio::spawn(async move {
            let new = operations::NewOperation {
                id: new,
                kind: "delete",
                tenant_id: Some(tenant),
                params: &json!({}),
                asked_by: "ben",
                operator: None,
                request_id: None,
            };
            operations::insert_leased(&mut two, &new, holder, LONG).await
        });
        assert!(waits(&mut second).await);
        if commits {
            first.commit().await.expect("committed");
            let refused = second.await.expect("no panic");
            assert!(matches!(refused, Err(InsertError::OperationInProgress(id)) if id == winner));
            let end = operations::finish(&mut one, winner, 1, Status::Done, None, None).await;
            assert!(end.expect("ended"));
        } else {
            first.rollback().await.expect("rolled back");
            assert_eq!(second.await.expect("no panic").expect("begun"), 1);
        }
    }
}

pub async fn a_parked_operation_is_left_alone(db: Db) {
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, ENDED).await.expect("begun");
    let why = json!({"why": "the undo failed"});
    let parked = operations::set_status(&mut conn, id, 1, Status::Parked, Some(&why)).await;
    assert!(parked.expect("parked"));
    let none = operations::claim_next(&mut conn, db.holder(), LONG).await;
    assert_eq!(none.expect("asked"), None);
    assert!(
        !operations::renew(&mut conn, id, 1, LONG)
            .await
            .expect("asked")
    );
    assert_eq!(operations::open_count(&mut conn).await.expect("counted"), 0);
    let found = operations::by_id(&mut conn, id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!((found.status, found.error), (Status::Parked, Some(why)));
}

pub async fn a_parked_operation_gives_way_to_the_one_that_supersedes_it(db: Db) {
    let mut conn = db.conn().await;
    let tenant = db.tenant_id();
    let parked = db
        .operation(&mut conn, Some(tenant), LONG)
        .await
        .expect("begun");
    let by = OperationId::generate(&db.clock, &db.entropy);
    let none = operations::supersede_parked(&mut conn, tenant, by).await;
    assert_eq!(none.expect("asked"), None, "it runs");
    let set = operations::set_status(&mut conn, parked, 1, Status::Parked, None).await;
    assert!(set.expect("set"));
    let ended = operations::supersede_parked(&mut conn, tenant, by).await;
    let ended = ended.expect("superseded").expect("there was one");
    assert_eq!((ended.id, ended.status), (parked, Status::Failed));
    assert_eq!(ended.result, Some(json!({"supersededBy": by.to_string()})));
    db.operation(&mut conn, Some(tenant), LONG)
        .await
        .expect("the tenant is free");
}

pub async fn a_kind_that_is_about_the_fleet_runs_once(db: Db) {
    let (mut one, mut two) = (db.conn().await, db.conn().await);
    let mut first = one.begin().await.expect("begun");
    let none = operations::lock_fleet_kind(&mut first, "create").await;
    assert_eq!(none.expect("asked"), None);
    let mut second = tokio::spawn(async move {
        let mut tx = two.begin().await.expect("begun");
        operations::lock_fleet_kind(&mut tx, "create").await
    });
    assert!(waits(&mut second).await);
    let running = db.operation(&mut first, None, LONG).await.expect("begun");
    first.commit().await.expect("committed");
    let found = second.await.expect("no panic").expect("asked");
    assert_eq!(found, Some(running));
    let other = operations::lock_fleet_kind(&mut one, "another kind").await;
    assert_eq!(other.expect("asked"), None);
}

pub async fn a_worker_that_stops_within_a_transaction_does_not_keep_its_locks(db: Db) {
    let url = format!(
        "postgres://{ADMIN}:{PASSWORD}@127.0.0.1:{}/{}",
        db.port(),
        db.name
    );
    let pool =
        tenantry_catalog::connect(&Secret::new(url), 2, tenantry_catalog::ON_THE_WAY, "test")
            .await
            .expect("a pool");
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, ENDED).await.expect("begun");
    let mut stopped = pool.begin().await.expect("begun");
    assert!(operations::hold(&mut stopped, id, 1).await.expect("asked"));

    let next = async {
        loop {
            let taken = operations::claim_next(&mut conn, db.holder(), LONG).await;
            if let Some(operation) = taken.expect("asked") {
                return operation.id;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(30), next).await;
    assert_eq!(taken, Ok(id));
    assert!(stopped.commit().await.is_err(), "it was put out");
}
