//! Idempotency keys, operators, the installation, clusters: what there is only once.

use sqlx::{Connection, PgConnection};
use tenantry_catalog::clusters::{self, InsertError as ClusterError, NewCluster, TlsMode};
use tenantry_catalog::idempotency::{self, Found, InsertError};
use tenantry_catalog::operators::{Holder, NewOperator, Role};
use tenantry_catalog::{installation, operators};
use tenantry_types::{ClusterId, InstallationId, OperatorId};
use tenantry_vault::Sealed;

use crate::world::{Db, LONG, waits};

async fn operator(db: &Db, name: &str) -> OperatorId {
    let id = OperatorId::generate(&db.clock, &db.entropy);
    operators::insert(&mut db.conn().await, &new(id, name, db.entropy.bytes()))
        .await
        .expect("inserted");
    id
}

fn new(id: OperatorId, name: &str, token_hash: [u8; 32]) -> NewOperator<'_> {
    NewOperator {
        id,
        name,
        role: Role::Owner,
        expires_at: None,
        token_hash,
    }
}

/// Whose a token is, by id; `Err`: it was somebody's.
async fn holder(conn: &mut PgConnection, hash: [u8; 32]) -> Option<Result<OperatorId, ()>> {
    let found = operators::by_token_hash(conn, &hash).await.expect("read");
    found.map(|holder| match holder {
        Holder::Good(operator) => Ok(operator.id),
        Holder::Expired => Err(()),
    })
}

pub async fn of_two_equal_requests_one_begins_an_operation(db: Db) {
    let ann = operator(&db, "ann").await;
    let (mut one, mut two) = (db.conn().await, db.conn().await);
    let mut first = one.begin().await.expect("begun");
    let winner = db.operation(&mut first, None, LONG).await.expect("begun");
    idempotency::insert(&mut first, ann, "k", [1; 32], winner)
        .await
        .expect("inserted");

    let loser = db.operation(&mut two, None, LONG).await.expect("begun");
    let mut second =
        tokio::spawn(async move { idempotency::insert(&mut two, ann, "k", [1; 32], loser).await });
    assert!(waits(&mut second).await);
    first.commit().await.expect("committed");
    let refused = second.await.expect("no panic");
    assert!(matches!(refused, Err(InsertError::KeyTaken)));
    let found = idempotency::find(&mut one, ann, "k").await.expect("read");
    let expected = Found {
        request_hash: [1; 32],
        operation_id: winner,
    };
    assert_eq!(found, Some(expected));

    // Freed for the operation that failed, and for no other.
    idempotency::forget(&mut one, ann, "k", loser)
        .await
        .expect("asked");
    assert!(
        idempotency::find(&mut one, ann, "k")
            .await
            .expect("read")
            .is_some()
    );
    idempotency::forget(&mut one, ann, "k", winner)
        .await
        .expect("freed");
    assert_eq!(
        idempotency::find(&mut one, ann, "k").await.expect("read"),
        None
    );

    idempotency::insert(&mut one, ann, "k", [1; 32], winner)
        .await
        .expect("inserted");
    let later = db.clock.now() + chrono::Duration::hours(1);
    assert_eq!(
        idempotency::prune(&mut one, later).await.expect("pruned"),
        1
    );
    assert_eq!(
        idempotency::find(&mut one, ann, "k").await.expect("read"),
        None
    );
}

pub async fn a_key_is_an_operators_own(db: Db) {
    let (ann, ben) = (operator(&db, "ann").await, operator(&db, "ben").await);
    let mut conn = db.conn().await;
    let id = db.operation(&mut conn, None, LONG).await.expect("begun");
    idempotency::insert(&mut conn, ann, "k", [1; 32], id)
        .await
        .expect("inserted");
    assert_eq!(
        idempotency::find(&mut conn, ben, "k").await.expect("read"),
        None
    );
    idempotency::insert(&mut conn, ben, "k", [2; 32], id)
        .await
        .expect("inserted");
}

pub async fn a_revoked_token_is_unknown_and_the_name_is_free(db: Db) {
    let mut conn = db.conn().await;
    let insert = async |name: &str, hash| {
        let id = OperatorId::generate(&db.clock, &db.entropy);
        operators::insert(&mut db.conn().await, &new(id, name, hash))
            .await
            .map(|()| id)
    };
    let ann = insert("ann", [1; 32]).await.expect("inserted");
    let again = insert("ann", [2; 32]).await;
    assert!(matches!(again, Err(operators::InsertError::NameTaken)));
    let nameless = insert("", [2; 32]).await;
    assert!(matches!(nameless, Err(operators::InsertError::InvalidName)));
    assert_eq!(holder(&mut conn, [1; 32]).await, Some(Ok(ann)));

    let revoked = operators::revoke(&mut conn, ann).await.expect("revoked");
    assert!(revoked.is_some());
    assert_eq!(
        operators::revoke(&mut conn, ann).await.expect("asked"),
        None
    );
    assert_eq!(holder(&mut conn, [1; 32]).await, None);
    assert_eq!(
        operators::by_ref(&mut conn, "ann").await.expect("asked"),
        None
    );
    let second = insert("ann", [3; 32]).await.expect("the name is free");
    for name in ["ann", &second.to_string()] {
        let found = operators::by_ref(&mut conn, name).await.expect("asked");
        assert_eq!(found.map(|operator| operator.id), Some(second));
    }
    assert_eq!(operators::list(&mut conn).await.expect("listed").len(), 2);
}

/// Tried: with `good` taken as true, one whose time is over is good.
pub async fn a_token_ends_and_the_one_before_it_does(db: Db) {
    let mut conn = db.conn().await;
    let (now, hour) = (db.clock.now(), chrono::Duration::hours(1));
    let ann = operator(&db, "ann").await;
    let replace = async |hash, end, former| {
        let mut conn = db.conn().await;
        let replaced = operators::replace_token(&mut conn, ann, hash, end, former).await;
        assert!(replaced.expect("replaced"));
    };
    replace([1; 32], None, None).await;
    replace([2; 32], Some(now + hour), Some(now + hour)).await;
    for hash in [[1; 32], [2; 32]] {
        assert_eq!(holder(&mut conn, hash).await, Some(Ok(ann)));
    }
    // Another one: that before the present one stays, and that before it does not.
    replace([3; 32], Some(now + hour), Some(now + hour)).await;
    assert_eq!(holder(&mut conn, [1; 32]).await, None);
    assert_eq!(holder(&mut conn, [2; 32]).await, Some(Ok(ann)));
    replace([4; 32], Some(now + hour), Some(now - hour)).await;
    assert_eq!(holder(&mut conn, [3; 32]).await, Some(Err(())));
    assert_eq!(holder(&mut conn, [4; 32]).await, Some(Ok(ann)));
    replace([5; 32], Some(now - hour), None).await;
    assert_eq!(holder(&mut conn, [5; 32]).await, Some(Err(())));
    assert_eq!(holder(&mut conn, [4; 32]).await, None);
    // It counts as an owner that lasts only without an end.
    assert_eq!(
        operators::lasting_owners(&mut conn).await.expect("asked"),
        0
    );
    operators::update(&mut conn, ann, Role::Owner, None)
        .await
        .expect("updated");
    assert_eq!(
        operators::lasting_owners(&mut conn).await.expect("asked"),
        1
    );
    operators::update(&mut conn, ann, Role::Operator, None)
        .await
        .expect("updated");
    assert_eq!(
        operators::lasting_owners(&mut conn).await.expect("asked"),
        0
    );
}

/// Tried: with the condition on its age left out, the second use is written.
pub async fn the_last_use_of_a_token_is_written_now_and_then(db: Db) {
    let mut conn = db.conn().await;
    let id = OperatorId::generate(&db.clock, &db.entropy);
    operators::insert(&mut conn, &new(id, "ann", [1; 32]))
        .await
        .expect("inserted");
    let used = async || {
        let mut conn = db.conn().await;
        holder(&mut conn, [1; 32]).await;
        let all = operators::list(&mut conn).await.expect("listed");
        all[0].last_used_at
    };
    let first = used().await;
    assert!(first.is_some());
    assert_eq!(used().await, first);
    let age = "UPDATE operators SET last_used_at = last_used_at - interval '6 minutes'";
    sqlx::query(age).execute(&mut conn).await.expect("aged");
    assert!(used().await > first);
}

pub async fn two_first_starts_agree_on_one_installation(db: Db) {
    let mut conn = db.conn().await;
    assert_eq!(installation::get(&mut conn).await.expect("read"), None);
    let starts: Vec<_> = [db.conn().await, db.conn().await]
        .into_iter()
        .map(|mut conn| {
            let id = InstallationId::generate(&db.clock, &db.entropy);
            tokio::spawn(async move { installation::ensure(&mut conn, id).await })
        })
        .collect();
    let mut ids = Vec::new();
    for start in starts {
        ids.push(start.await.expect("no panic").expect("ensured"));
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(
        installation::get(&mut conn).await.expect("read"),
        Some(ids[0])
    );
}

pub async fn a_cluster_has_its_name_and_address_alone(db: Db) {
    let mut conn = db.conn().await;
    assert_eq!(clusters::default(&mut conn).await.expect("read"), None);
    let one = db.cluster("one").await;
    let two = db.cluster("two").await;
    let admin = Sealed {
        key_id: "k1".to_owned(),
        bytes: vec![0; 28],
    };
    let new = |name, host| NewCluster {
        id: ClusterId::generate(&db.clock, &db.entropy),
        name,
        host,
        port: 5432,
        maintenance_db: "postgres",
        tls: TlsMode::VerifyFull,
        admin_login: "admin",
        admin: &admin,
        connection_budget: 10,
        placement: clusters::Placement::default(),
        root_ca: None,
        system_identifier: None,
    };
    let refused = clusters::insert(&mut conn, &new("one", "elsewhere")).await;
    assert!(matches!(refused, Err(ClusterError::NameTaken)));
    let refused = clusters::insert(&mut conn, &new("three", "one")).await;
    assert!(matches!(refused, Err(ClusterError::AddressTaken)));
    let refused = clusters::set_address(&mut conn, two, "one", 5432).await;
    assert!(matches!(refused, Err(ClusterError::AddressTaken)));
    assert!(
        clusters::set_address(&mut conn, two, "one", 5433)
            .await
            .expect("set")
    );

    let found = clusters::default(&mut conn)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (found.id, found.name.as_str(), found.port),
        (one, "one", 5432)
    );
    let found = clusters::by_address(&mut conn, "one", 5433)
        .await
        .expect("read");
    assert_eq!(found.map(|cluster| cluster.id), Some(two));
    let found = clusters::by_name(&mut conn, "two").await.expect("read");
    assert_eq!(found.map(|cluster| cluster.id), Some(two));
    assert_eq!(
        clusters::by_address(&mut conn, "two", 5432)
            .await
            .expect("read"),
        None
    );
    assert_eq!(clusters::list(&mut conn).await.expect("listed").len(), 2);
}
