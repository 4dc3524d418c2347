//! The audit trail and its seals.

use serde_json::json;
use sqlx::{Connection, PgConnection};
use tenantry_catalog::audit::{self, Entry, Filter, Finding, Head, Outcome};
use tenantry_catalog::operations::{self, Status};
use tenantry_types::AuditId;

use crate::world::{Db, LONG, execute, sqlstate, try_execute};

async fn write(db: &Db, conn: &mut PgConnection, action: &str) -> AuditId {
    let id = AuditId::generate(&db.clock, &db.entropy);
    let detail = json!({ "from": { "n": 1 }, "to": { "n": 1.5 } });
    audit::record(conn, id, &entry(action, &detail))
        .await
        .expect("written");
    id
}

fn entry<'a>(action: &'a str, detail: &'a serde_json::Value) -> Entry<'a> {
    Entry {
        actor: "ann",
        operator: None,
        action,
        tenant: None,
        request_id: Some("r"),
        address: Some("192.0.2.1"),
        agent: Some("test"),
        reason: None,
        detail,
    }
}

async fn seal(conn: &mut PgConnection) -> usize {
    let sealed = audit::seal(conn, 100).await.expect("sealed");
    sealed.expect("nobody else")
}

/// What differs: the finding, the seal, and whether a row is named.
async fn differences(conn: &mut PgConnection) -> Vec<(Finding, Option<i64>, Option<AuditId>)> {
    let found = audit::verify(conn, &Head::NONE).await.expect("looked");
    assert!(found.is_whole);
    let all = found.differences.iter();
    all.map(|one| (one.finding, one.seal, one.row)).collect()
}

const KEPT: [&str; 4] = ["audit", "audit_seals", "audit_sealed", "audit_unsealed"];
const TRAIL: [&str; 4] = ["audit", "audit_outcomes", "audit_seals", "audit_sealed"];

/// Lets whoever owns the tables do what they may not: as an attacker would.
async fn pry_open(db: &Db) -> PgConnection {
    let mut conn = db.superuser().await;
    for table in TRAIL {
        execute(
            &mut conn,
            &format!("ALTER TABLE {table} DISABLE TRIGGER USER"),
        )
        .await;
    }
    conn
}

/// Tried: without the REVOKE the trigger stops the application's login, with another message.
pub async fn nobody_changes_or_removes_a_row(db: Db) {
    let (mut own, mut superuser) = (db.conn().await, db.superuser().await);
    write(&db, &mut own, "x").await;
    assert_eq!(seal(&mut own).await, 1);
    let statements = |table: &str| {
        let column = match table {
            "audit" => "id = id",
            "audit_outcomes" => "code = code",
            "audit_seals" => "rows = rows",
            _ => "seal = seal",
        };
        [
            format!("UPDATE {table} SET {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ]
    };
    for table in TRAIL {
        for statement in statements(table) {
            let refused = try_execute(&mut own, &statement).await;
            let refused = refused.expect_err(&statement);
            assert_eq!(sqlstate(&refused), "42501", "{statement}");
            assert!(
                refused.to_string().contains("permission denied"),
                "{refused}"
            );
            let refused = try_execute(&mut superuser, &statement).await;
            assert_eq!(sqlstate(&refused.expect_err(&statement)), "42501");
        }
    }
    execute(&mut superuser, "SET session_replication_role = replica").await;
    let refused = try_execute(&mut superuser, "DELETE FROM audit").await;
    assert_eq!(sqlstate(&refused.expect_err("refused")), "42501");
    assert_eq!(differences(&mut own).await, []);
}

/// Tried: with a hash that leaves out the address, the change of it does not show.
pub async fn what_was_changed_removed_or_added_shows(db: Db) {
    let mut conn = db.conn().await;
    let (one, two) = (
        write(&db, &mut conn, "one").await,
        write(&db, &mut conn, "two").await,
    );
    assert_eq!(seal(&mut conn).await, 2);
    write(&db, &mut conn, "three").await;
    assert_eq!(seal(&mut conn).await, 1);
    assert_eq!(seal(&mut conn).await, 0, "nothing waits");
    let waiting = write(&db, &mut conn, "waits").await;
    assert_eq!(
        differences(&mut conn).await,
        [],
        "one that waits is no difference"
    );

    let mut attacker = pry_open(&db).await;
    for table in KEPT {
        execute(
            &mut attacker,
            &format!("CREATE TABLE kept_{table} AS TABLE {table}"),
        )
        .await;
    }
    let mut after = async |statements: &[String]| {
        for statement in statements {
            execute(&mut attacker, statement).await;
        }
        let found = differences(&mut attacker).await;
        for table in KEPT {
            execute(
                &mut attacker,
                &format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept_{table}"),
            )
            .await;
        }
        found
    };
    for column in [
        "actor = 'ben'",
        "action = 'none'",
        "at = at + interval '1 microsecond'",
        "address = '192.0.2.2'",
        "agent = NULL",
        "request_id = NULL",
        "reason = ''",
        "tenant_id = gen_random_uuid()",
        "operator_id = gen_random_uuid()",
        "operation_id = gen_random_uuid()",
        "detail = detail || '{\"to\": {\"n\": 2}}'",
    ] {
        let changed = after(&[format!("UPDATE audit SET {column} WHERE id = '{one}'")]).await;
        assert_eq!(
            changed,
            [(Finding::RowChanged, Some(1), Some(one))],
            "{column}"
        );
    }
    let gone = after(&[format!("DELETE FROM audit WHERE id = '{two}'")]).await;
    assert_eq!(gone, [(Finding::RowMissing, Some(1), Some(two))]);
    // With its place, and with the place's hash: the seal does not hold what it is a hash of.
    let gone = after(&[
        format!("DELETE FROM audit WHERE id = '{two}'"),
        format!("DELETE FROM audit_sealed WHERE audit_id = '{two}'"),
    ])
    .await;
    assert_eq!(gone, [(Finding::SealChanged, Some(1), None)]);
    let past = after(&[
        "INSERT INTO audit (id, actor, action) VALUES (gen_random_uuid(), 'x', 'forged')"
            .to_owned(),
        format!("DELETE FROM audit_unsealed WHERE audit_id <> '{waiting}'"),
    ])
    .await;
    assert!(
        matches!(&past[..], [(Finding::RowAdded, None, Some(_))]),
        "{past:?}"
    );
    // A seal that is gone, in the middle or at the end.
    let gone = after(&["DELETE FROM audit_seals WHERE number = 1".to_owned()]).await;
    assert_eq!(gone[0], (Finding::SealMissing, Some(1), None), "{gone:?}");
    let gone = after(&["DELETE FROM audit_seals WHERE number = 2".to_owned()]).await;
    assert_eq!(gone, [(Finding::SealMissing, Some(2), None)]);
    let other =
        after(&["UPDATE audit_seals SET hash = sha256('x') WHERE number = 1".to_owned()]).await;
    assert_eq!(
        other,
        [
            (Finding::SealChanged, Some(1), None),
            (Finding::SealUnchained, Some(2), None)
        ]
    );
    assert_eq!(differences(&mut conn).await, []);
    // A row with an old time that came later.
    execute(
        &mut attacker,
        "WITH forged AS (
           INSERT INTO audit (id, at, actor, action)
           VALUES (gen_random_uuid(), now() - interval '1 hour', 'x', 'forged') RETURNING id
         )
         INSERT INTO audit_unsealed (part, audit_id) SELECT 0, id FROM forged",
    )
    .await;
    assert_eq!(seal(&mut conn).await, 2);
    let late = differences(&mut conn).await;
    assert!(
        matches!(&late[..], [(Finding::RowLate, Some(3), Some(_))]),
        "{late:?}"
    );
}

/// Whoever owns the tables writes another chain; only a head that was kept elsewhere shows it.
pub async fn a_head_that_was_kept_shows_a_chain_that_was_written_anew(db: Db) {
    let mut conn = db.conn().await;
    for action in ["one", "two"] {
        write(&db, &mut conn, action).await;
        assert_eq!(seal(&mut conn).await, 1);
    }
    let kept = audit::verify(&mut conn, &Head::NONE)
        .await
        .expect("looked")
        .head;
    assert_eq!(kept.number, 2);
    let behind = audit::verify(&mut conn, &kept).await.expect("looked");
    assert_eq!(
        (behind.seals, behind.differing, behind.head.number),
        (0, 0, 2)
    );

    let mut attacker = pry_open(&db).await;
    execute(
        &mut attacker,
        "DELETE FROM audit WHERE action = 'two';
         DELETE FROM audit_sealed WHERE seal = 2; DELETE FROM audit_seals WHERE number = 2",
    )
    .await;
    execute(
        &mut attacker,
        "ALTER TABLE audit ENABLE TRIGGER audit_enqueue",
    )
    .await;
    write(&db, &mut conn, "three").await;
    assert_eq!(seal(&mut conn).await, 1);
    assert_eq!(differences(&mut conn).await, [], "the new chain is one");
    let found = audit::verify(&mut conn, &kept).await.expect("looked");
    assert_eq!(found.differences[0].finding, Finding::HeadMissing);
}

/// The row of a transaction that is still open, begun before, is in no seal; when it has committed it is in
/// the next one, although its id and its time are older.
pub async fn a_transaction_that_commits_late_is_sealed_later(db: Db) {
    let (mut slow, mut quick) = (db.conn().await, db.conn().await);
    let mut open = slow.begin().await.expect("begun");
    let first = write(&db, &mut open, "slow").await;
    // Nobody who writes waits for the seal, and it waits for nobody.
    let second = write(&db, &mut quick, "quick").await;
    assert!(first < second);
    assert_eq!(seal(&mut quick).await, 1);
    open.commit().await.expect("committed");
    assert_eq!(seal(&mut quick).await, 1);
    let found = audit::verify(&mut quick, &Head::NONE)
        .await
        .expect("looked");
    assert_eq!(
        (found.seals, found.rows, found.differing, found.unsealed),
        (2, 2, 0, 0)
    );
}

pub async fn one_at_a_time_seals(db: Db) {
    let (mut one, mut two) = (db.conn().await, db.conn().await);
    write(&db, &mut one, "x").await;
    let mut open = one.begin().await.expect("begun");
    assert_eq!(seal(&mut open).await, 1);
    assert_eq!(audit::seal(&mut two, 100).await.expect("asked"), None);
    // Its rows are not sealed before it has committed.
    write(&db, &mut two, "y").await;
    open.commit().await.expect("committed");
    assert_eq!(seal(&mut two).await, 1);
    assert_eq!(differences(&mut two).await, []);
}

/// Tried: without the trigger on `operations` it stays pending.
pub async fn the_end_of_an_operation_completes_its_row(db: Db) {
    let mut conn = db.conn().await;
    for (status, outcome, code) in [
        (Status::Done, Outcome::Done, None),
        (Status::Failed, Outcome::Failed, Some("ODD")),
    ] {
        let operation = db.operation(&mut conn, None, LONG).await.expect("begun");
        let detail = json!({ "operationId": operation });
        for action in ["tenant.create", "operation.cancel"] {
            let id = AuditId::generate(&db.clock, &db.entropy);
            audit::record(&mut conn, id, &entry(action, &detail))
                .await
                .expect("written");
        }
        let told = async |conn: &mut PgConnection| {
            let filter = Filter {
                limit: 2,
                ..Filter::default()
            };
            let page = audit::page(conn, &filter).await.expect("listed");
            let of = page.items.into_iter();
            let mut told: Vec<_> = of
                .map(|line| (line.action, line.outcome, line.code))
                .collect();
            // Lines of one millisecond have no order.
            told.sort_by(|one, other| one.0.cmp(&other.0));
            told
        };
        let decided = ("operation.cancel".to_owned(), Outcome::Done, None);
        let pending = ("tenant.create".to_owned(), Outcome::Pending, None);
        assert_eq!(told(&mut conn).await, [decided.clone(), pending]);
        let error = json!({ "code": "ODD" });
        operations::finish(&mut conn, operation, 1, status, None, Some(&error))
            .await
            .expect("ended");
        let ended = ("tenant.create".to_owned(), outcome, code.map(str::to_owned));
        assert_eq!(told(&mut conn).await, [decided, ended]);
    }
    // The outcomes are sealed like the acts.
    assert_eq!(seal(&mut conn).await, 6);
    assert_eq!(differences(&mut conn).await, []);
    let mut attacker = pry_open(&db).await;
    execute(&mut attacker, "UPDATE audit_outcomes SET outcome = 'done'").await;
    let found = differences(&mut conn).await;
    assert!(
        matches!(&found[..], [(Finding::RowChanged, Some(1), Some(_))]),
        "{found:?}"
    );
}
