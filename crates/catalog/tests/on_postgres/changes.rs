//! The change log and the routers that follow it.

use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgListener;
use tenantry_catalog::change_log::{self, About, Change, Kind};
use tenantry_catalog::{routers, shares};
use tenantry_types::RouterId;

use crate::shares::renewed;
use crate::world::{Db, LONG, execute, waits};

pub async fn numbers_are_in_the_order_of_the_commits(db: Db) {
    let tenant = db.tenant_id();
    let mut reader = db.conn().await;

    // A slow transaction that began first and appends last gets the higher number.
    let mut slow = db.conn().await;
    let mut slow = slow.begin().await.expect("begun");
    execute(&mut slow, "SELECT count(*) FROM tenants").await;
    let quick = change_log::append(&mut db.conn().await, tenant, Kind::Created).await;
    assert_eq!(quick.expect("appended"), 1);
    assert_eq!(change_log::current(&mut reader).await.expect("read"), 1);
    let number = change_log::append(&mut slow, tenant, Kind::Updated).await;
    assert_eq!(number.expect("appended"), 2);

    // Until it commits nobody else gets a number.
    let mut other = db.conn().await;
    let mut third =
        tokio::spawn(async move { change_log::append(&mut other, tenant, Kind::Fenced).await });
    assert!(waits(&mut third).await);
    assert_eq!(change_log::current(&mut reader).await.expect("read"), 1);
    slow.commit().await.expect("committed");
    assert_eq!(third.await.expect("no panic").expect("appended"), 3);

    let kinds = [(2, Kind::Updated), (3, Kind::Fenced)];
    let expected = kinds.map(|(number, kind)| Change {
        number,
        about: About::Tenant(tenant, kind),
    });
    assert_eq!(
        change_log::after(&mut reader, 1, 10).await.expect("read"),
        expected
    );
    assert_eq!(
        change_log::after(&mut reader, 1, 1).await.expect("read"),
        expected[..1]
    );

    // A number that was rolled back is given again: there are no holes.
    let mut gone = reader.begin().await.expect("begun");
    let number = change_log::append(&mut gone, tenant, Kind::Purged).await;
    assert_eq!(number.expect("appended"), 4);
    gone.rollback().await.expect("rolled back");
    let number = change_log::append(&mut reader, tenant, Kind::Purged).await;
    assert_eq!(number.expect("appended"), 4);
}

pub async fn a_notification_carries_the_number_and_comes_with_the_commit(db: Db) {
    let url = format!(
        "postgres://tenantry_admin:of-the-test@127.0.0.1:{}/{}",
        db.port(),
        db.name
    );
    let mut listener = PgListener::connect(&url).await.expect("a listener");
    listener
        .listen(change_log::CHANNEL)
        .await
        .expect("listening");
    let mut conn = db.conn().await;
    let mut tx = conn.begin().await.expect("begun");
    change_log::append(&mut tx, db.tenant_id(), Kind::Created)
        .await
        .expect("appended");
    let early = tokio::time::timeout(Duration::from_millis(200), listener.recv()).await;
    assert!(early.is_err(), "told before the commit");
    tx.commit().await.expect("committed");
    let told = tokio::time::timeout(Duration::from_secs(5), listener.recv()).await;
    let told = told.expect("told").expect("a notification");
    assert_eq!(told.payload(), "1");
}

pub async fn pruning_spares_what_a_live_router_lacks_and_the_newest_row(db: Db) {
    let mut conn = db.conn().await;
    for _ in 0..5 {
        change_log::append(&mut conn, db.tenant_id(), Kind::Created)
            .await
            .expect("appended");
    }
    let id = RouterId::generate(&db.clock, &db.entropy);
    let dead = RouterId::generate(&db.clock, &db.entropy);
    routers::register(&mut conn, id, "r1", 2, LONG)
        .await
        .expect("registered");
    routers::register(&mut conn, dead, "r0", 0, Duration::ZERO)
        .await
        .expect("registered");

    assert_eq!(
        change_log::prune(&mut conn).await.expect("pruned"),
        0,
        "all are young"
    );
    execute(&mut conn, "UPDATE changes SET at = at - interval '1 hour'").await;
    assert_eq!(change_log::prune(&mut conn).await.expect("pruned"), 2);
    assert_eq!(change_log::oldest(&mut conn).await.expect("read"), Some(3));
    shares::leave(&mut conn, id, &[]).await.expect("removed");
    assert_eq!(change_log::prune(&mut conn).await.expect("pruned"), 2);
    // Who stood at 2 sees that 3 and 4 are missing.
    let seen = change_log::after(&mut conn, 2, 10).await.expect("read");
    assert_eq!(
        seen.iter().map(|change| change.number).collect::<Vec<_>>(),
        [5]
    );
    assert_eq!(change_log::current(&mut conn).await.expect("read"), 5);
}

pub async fn a_router_counts_until_its_lease_ends(db: Db) {
    let mut conn = db.conn().await;
    let behind = RouterId::generate(&db.clock, &db.entropy);
    let dead = RouterId::generate(&db.clock, &db.entropy);
    assert!(!renewed(&mut conn, behind, 3).await, "unknown");
    routers::register(&mut conn, behind, "r1", 3, LONG)
        .await
        .expect("registered");
    routers::register(&mut conn, dead, "r0", 3, Duration::ZERO)
        .await
        .expect("registered");

    assert_eq!(
        routers::behind(&mut conn, 4).await.expect("asked"),
        [behind]
    );
    assert_eq!(routers::behind(&mut conn, 3).await.expect("asked"), []);
    assert!(renewed(&mut conn, behind, 4).await);
    assert_eq!(routers::behind(&mut conn, 4).await.expect("asked"), []);
    // A renewal that was overtaken does not take it back.
    assert!(renewed(&mut conn, behind, 2).await);
    assert_eq!(routers::behind(&mut conn, 4).await.expect("asked"), []);

    let all = routers::list(&mut conn).await.expect("listed");
    let live: Vec<_> = all
        .iter()
        .map(|r| (r.name.as_str(), r.live, r.applied))
        .collect();
    assert!(
        live.contains(&("r1", true, 4)) && live.contains(&("r0", false, 3)),
        "{live:?}"
    );
    assert_eq!(routers::prune(&mut conn).await.expect("pruned"), 0);
    execute(
        &mut conn,
        "UPDATE routers SET lease_until = lease_until - interval '2 days' WHERE name = 'r0'",
    )
    .await;
    assert_eq!(routers::prune(&mut conn).await.expect("pruned"), 1);
    assert_eq!(routers::list(&mut conn).await.expect("listed").len(), 1);
}
