//! Databases and their logins.

use sqlx::{Connection, PgConnection};
use tenantry_catalog::databases::{self, NameError, NewDatabase, State};
use tenantry_types::{DatabaseId, DbName, OperationId};

use crate::world::Db;

pub async fn two_who_want_a_spare_get_different_ones(db: Db) {
    let cluster = db.cluster("one").await;
    let (first, second) = (db.making(cluster, "a").await, db.making(cluster, "b").await);
    let mut conn = db.conn().await;
    let (ann, ben, cat) = (
        db.tenant(cluster, "ann").await,
        db.tenant(cluster, "ben").await,
        db.tenant(cluster, "cat").await,
    );
    let operation = OperationId::generate(&db.clock, &db.entropy);
    let take = async |conn: &mut PgConnection, schema: &str, tenant| {
        databases::take_spare(conn, cluster, schema, tenant, operation)
            .await
            .expect("asked")
    };
    assert_eq!(take(&mut conn, "s1", ann).await, None, "still being made");
    for id in [first, second] {
        assert!(databases::put_by(&mut conn, id).await.expect("put by"));
    }
    let stock = databases::stock(&mut conn, cluster, "s1").await;
    assert_eq!(stock.expect("counted"), 2);
    assert_eq!(take(&mut conn, "s2", ann).await, None, "other migrations");

    let mut other = db.conn().await;
    let (mut one, mut two) = (
        conn.begin().await.expect("begun"),
        other.begin().await.expect("begun"),
    );
    assert_eq!(take(&mut one, "s1", ann).await, Some(first));
    assert_eq!(take(&mut two, "s1", ben).await, Some(second));
    let mut third = db.conn().await;
    assert_eq!(take(&mut third, "s1", cat).await, None);
    // The one whose transaction fails leaves it to the next.
    drop(two);
    one.commit().await.expect("committed");
    drop(other);
    let mut conn = db.conn().await;
    assert_eq!(take(&mut conn, "s1", cat).await, Some(second));
    assert!(!databases::put_by(&mut conn, first).await.expect("asked"));
    let of_ann = databases::by_tenant(&mut conn, ann).await.expect("read");
    assert_eq!(of_ann.map(|database| database.id), Some(first));
}

pub async fn a_claimed_database_is_nobody_elses(db: Db) {
    let cluster = db.cluster("one").await;
    let id = db.making(cluster, "spare").await;
    let (ann, ben) = (
        db.tenant(cluster, "ann").await,
        db.tenant(cluster, "ben").await,
    );
    let mut conn = db.conn().await;
    let name = DbName::parse("tenant_ann").expect("a name");
    databases::claim(&mut conn, id, ann, &name)
        .await
        .expect("claimed");
    databases::claim(&mut conn, id, ann, &name)
        .await
        .expect("claimed once more");
    let refused = databases::claim(&mut conn, id, ben, &name).await;
    assert!(matches!(refused, Err(NameError::NotFree(refused)) if refused == id));
    let found = databases::by_tenant(&mut conn, ann)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (found.id, found.name, found.state),
        (id, name, State::Claimed)
    );

    assert!(databases::remove(&mut conn, id).await.expect("removed"));
    assert!(!databases::remove(&mut conn, id).await.expect("removed"));
    assert_eq!(databases::by_id(&mut conn, id).await.expect("read"), None);
}

pub async fn a_name_is_taken_once_per_cluster(db: Db) {
    let (one, two) = (db.cluster("one").await, db.cluster("two").await);
    let id = db.making(one, "taken").await;
    let name = DbName::parse("taken").expect("a name");
    let mut conn = db.conn().await;
    let new = |cluster_id| NewDatabase {
        id: DatabaseId::generate(&db.clock, &db.entropy),
        cluster_id,
        name: &name,
        operation_id: None,
        schema: "s1",
    };
    let refused = databases::insert_making(&mut conn, &new(one)).await;
    assert!(matches!(refused, Err(NameError::NameTaken(taken)) if taken == name));
    databases::insert_making(&mut conn, &new(two))
        .await
        .expect("another cluster");
    let free = DbName::parse("free").expect("a name");
    assert!(
        databases::name_taken(&mut conn, one, &name)
            .await
            .expect("asked")
    );
    assert!(
        !databases::name_taken(&mut conn, one, &free)
            .await
            .expect("asked")
    );
    databases::rename(&mut conn, id, &free)
        .await
        .expect("renamed");
    assert!(
        !databases::name_taken(&mut conn, one, &name)
            .await
            .expect("asked")
    );
    let other = db.making(one, "taken").await;
    let refused = databases::rename(&mut conn, other, &free).await;
    assert!(matches!(refused, Err(NameError::NameTaken(_))));
}
