//! The journal of operations, and their secrets.

use chrono::Duration;
use serde_json::json;
use tenantry_catalog::journal::{self, Advanced, Event};
use tenantry_catalog::operation_secrets;
use tenantry_catalog::operations::{self, Decision, Status};
use tenantry_vault::{Place, Sealed};

use crate::world::{Db, LONG};

pub async fn lines_are_numbered_in_order_also_when_written_at_once(db: Db) {
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, LONG).await.expect("begun");
    let mut writers = Vec::new();
    for writer in 0..4 {
        let mut conn = db.conn().await;
        writers.push(tokio::spawn(async move {
            for line in 0..5 {
                let step = format!("{writer}.{line}");
                let written =
                    journal::append(&mut conn, id, 1, &step, Event::Done, &json!({"n": line}))
                        .await;
                assert!(written.expect("written"));
            }
        }));
    }
    for writer in writers {
        writer.await.expect("written");
    }
    let lines = journal::of(&mut conn, id).await.expect("read");
    let numbers: Vec<_> = lines.iter().map(|line| line.seq).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let of_one: Vec<_> = lines
        .iter()
        .filter(|line| line.step.starts_with("2."))
        .collect();
    assert!(of_one.is_sorted_by_key(|line| &line.step));
    assert_eq!(
        (of_one[3].detail.clone(), of_one[3].fence),
        (json!({"n": 3}), 1)
    );
    assert_eq!(of_one[3].event, Event::Done);
}

/// Seen to fail with the two lines in the other order.
pub async fn a_turn_says_what_is_done_before_what_begins(db: Db) {
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, LONG).await.expect("begun");
    for (done, started) in [(None, Some("a")), (Some("a"), Some("b")), (Some("b"), None)] {
        let written = journal::advance(&mut conn, id, 1, done, started).await;
        assert_eq!(written.expect("written"), Advanced::Held);
    }
    let asked = operations::ask_to_cancel(&mut conn, id, "ann", None).await;
    assert_eq!(asked.expect("asked"), Decision::Taken);
    let started = journal::advance(&mut conn, id, 1, None, Some("c")).await;
    assert_eq!(started.expect("written"), Advanced::CancelAsked);
    let ended = operations::complete(&mut conn, id, 1, "c", &json!({"n": 1})).await;
    assert!(ended.expect("written"));
    let lines = journal::of(&mut conn, id).await.expect("read");
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (line.seq, line.step.as_str(), line.event))
        .collect();
    let (started, done) = (Event::Started, Event::Done);
    assert_eq!(
        lines,
        [
            (1, "a", started),
            (2, "a", done),
            (3, "b", started),
            (4, "b", done),
            (5, "c", started),
            (6, "c", done),
        ]
    );
    let ended = operations::by_id(&mut conn, id).await.expect("read");
    let ended = ended.expect("there");
    assert_eq!(
        (ended.status, ended.result),
        (Status::Done, Some(json!({"n": 1})))
    );
    // What has ended has no more turns.
    let late = journal::advance(&mut conn, id, 1, None, Some("d")).await;
    assert_eq!(late.expect("asked"), Advanced::Lost);
    let asked = operations::ask_to_cancel(&mut conn, id, "ann", None).await;
    assert_eq!(asked.expect("asked"), Decision::Not(Status::Done));
}

pub async fn secrets_are_taken_once_and_the_answer_outlives_the_operation(db: Db) {
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, LONG).await.expect("begun");
    let seal = |name: &str| -> Sealed {
        let place = Place::operation_secret(id, name);
        let keys = db.keys.admin();
        keys.seal(&db.entropy, &place, &name.to_owned().into())
            .expect("sealed")
    };
    let expires = db.clock.now() + Duration::hours(24);
    for (name, expires_at) in [("working", None), ("answer", Some(expires))] {
        let put = operation_secrets::put(&mut conn, id, name, &seal("first"), None).await;
        put.expect("put");
        let put = operation_secrets::put(&mut conn, id, name, &seal(name), expires_at).await;
        put.expect("put over it");
    }
    operation_secrets::remove_working(&mut conn, id)
        .await
        .expect("removed");
    let left = operation_secrets::get(&mut conn, id, "working")
        .await
        .expect("read");
    assert_eq!(left, None);
    let answer = operation_secrets::get(&mut conn, id, "answer")
        .await
        .expect("read");
    let place = Place::operation_secret(id, "answer");
    let opened = db
        .keys
        .admin()
        .open(&place, &answer.expect("there"))
        .expect("opened");
    assert_eq!(opened.expose(), "answer");

    let takers: Vec<_> = [db.conn().await, db.conn().await]
        .into_iter()
        .map(|mut conn| {
            tokio::spawn(
                async move { operation_secrets::tell(&mut conn, id, "answer", false).await },
            )
        })
        .collect();
    let mut taken = 0;
    for taker in takers {
        taken += usize::from(taker.await.expect("no panic").expect("asked").is_some());
    }
    assert_eq!(taken, 1);

    let put = operation_secrets::put(&mut conn, id, "answer", &seal("answer"), Some(expires)).await;
    put.expect("put");
    let early = operation_secrets::remove_expired(&mut conn, db.clock.now()).await;
    assert_eq!(early.expect("removed"), 0);
    db.clock.advance(Duration::hours(25));
    let late = operation_secrets::remove_expired(&mut conn, db.clock.now()).await;
    assert_eq!(late.expect("removed"), 1);
}
