//! How the whole stands, in bounded questions.

use std::time::Duration;

use serde_json::json;
use tenantry_catalog::databases;
use tenantry_catalog::operations::{self, Status as Op};
use tenantry_catalog::tenants::{self, Status};
use tenantry_catalog::{Count, change_log, routers};
use tenantry_types::{DbName, RouterId};

use crate::shares::renewed;
use crate::world::{Db, LONG, execute};

const fn exactly(number: i64) -> Count {
    Count {
        number,
        exact: true,
    }
}

pub async fn a_common_state_is_estimated_and_a_rare_one_counted(db: Db) {
    let cluster = db.cluster("one").await;
    for slug in ["a", "b", "c", "d", "e"] {
        db.tenant(cluster, slug).await;
    }
    let mut conn = db.conn().await;
    execute(
        &mut conn,
        "UPDATE tenants SET status = 'suspended' WHERE slug = 'e'",
    )
    .await;
    let counts = tenants::by_status(&mut conn).await.expect("counted");
    let of = |counts: &[(Status, Count)], wanted| {
        let found = counts.iter().find(|(status, _)| *status == wanted);
        found.expect("every state is told").1
    };
    assert_eq!(counts.len(), Status::ALL.len());
    assert_eq!(of(&counts, Status::Active), exactly(4));
    assert_eq!(of(&counts, Status::Suspended), exactly(1));
    assert_eq!(of(&counts, Status::Error), exactly(0));

    let bounded = tenants::by_status_up_to(&mut conn, 2)
        .await
        .expect("counted");
    let at_least = Count {
        number: 2,
        exact: false,
    };
    assert_eq!(of(&bounded, Status::Active), at_least, "no statistics yet");
    execute(&mut conn, "ANALYZE tenants").await;
    let bounded = tenants::by_status_up_to(&mut conn, 2)
        .await
        .expect("counted");
    let about = Count {
        number: 4,
        exact: false,
    };
    assert_eq!(of(&bounded, Status::Active), about);
    assert_eq!(of(&bounded, Status::Suspended), exactly(1));
}

pub async fn databases_behind_are_those_of_tenants_that_are_not_deleted(db: Db) {
    let cluster = db.cluster("one").await;
    let mut conn = db.conn().await;
    for slug in ["a", "b", "c"] {
        let tenant = db.tenant(cluster, slug).await;
        let id = db.making(cluster, slug).await;
        let name = DbName::parse(format!("tenant_{slug}")).expect("a name");
        databases::claim(&mut conn, id, tenant, &name)
            .await
            .expect("claimed");
        databases::set_migration_error(&mut conn, id, "no")
            .await
            .expect("set");
    }
    db.making(cluster, "making").await;
    let spare = db.making(cluster, "spare").await;
    databases::put_by(&mut conn, spare).await.expect("set");
    execute(
        &mut conn,
        "UPDATE databases SET schema = 's0' WHERE name = 'tenant_a';
         UPDATE databases SET schema = 's2' WHERE name IN ('tenant_b', 'tenant_c');
         UPDATE tenants SET status = 'deleting', purge_at = now() - interval '2 hours' WHERE slug = 'c'",
    )
    .await;
    let behind = databases::behind(&mut conn, "s1").await.expect("counted");
    assert_eq!(behind, exactly(2), "older and newer ones");
    let failed = databases::count_failed(&mut conn).await.expect("counted");
    assert_eq!(failed, exactly(3));
    let named = databases::failed(&mut conn, 2).await.expect("listed");
    assert_eq!(named, ["tenant_a", "tenant_b"]);
    let overdue = tenants::overdue_for_purge(&mut conn)
        .await
        .expect("counted");
    assert_eq!(overdue, exactly(1));
}

pub async fn what_is_stuck_is_named(db: Db) {
    let cluster = db.cluster("one").await;
    let (ann, bob) = (
        db.tenant(cluster, "ann").await,
        db.tenant(cluster, "bob").await,
    );
    let mut conn = db.conn().await;
    let parked = db
        .operation(&mut conn, Some(ann), LONG)
        .await
        .expect("begun");
    let driven = db
        .operation(&mut conn, Some(bob), LONG)
        .await
        .expect("begun");
    let why = json!({ "code": "ODD", "message": "Something." });
    assert!(
        operations::set_status(&mut conn, parked, 1, Op::Parked, Some(&why))
            .await
            .expect("parked")
    );
    let stuck = operations::parked(&mut conn, 5).await.expect("listed");
    assert_eq!(stuck.len(), 1);
    assert_eq!(
        (
            stuck[0].id,
            stuck[0].slug.as_deref(),
            stuck[0].error.as_ref()
        ),
        (parked, Some("ann"), Some(&why))
    );
    assert_eq!(
        operations::abandoned(&mut conn, 5).await.expect("listed"),
        []
    );
    execute(
        &mut conn,
        "UPDATE operations SET lease_until = now() - interval '2 minutes' WHERE status = 'running'",
    )
    .await;
    let abandoned = operations::abandoned(&mut conn, 5).await.expect("listed");
    assert_eq!(abandoned.len(), 1);
    assert_eq!(
        (abandoned[0].id, abandoned[0].tenant_id),
        (driven, Some(bob))
    );
    let mut counts = operations::open_by_status(&mut conn)
        .await
        .expect("counted");
    counts.sort_by_key(|(status, _)| status.as_str());
    assert_eq!(counts, [(Op::Parked, 1), (Op::Running, 1)]);
}

pub async fn a_router_is_behind_since_the_change_it_lacks(db: Db) {
    let cluster = db.cluster("one").await;
    let ann = db.tenant(cluster, "ann").await;
    let mut conn = db.conn().await;
    let id = RouterId::generate(&db.clock, &db.entropy);
    routers::register(&mut conn, id, "r", 0, Duration::from_secs(60))
        .await
        .expect("registered");
    let standing = routers::standing(&mut conn).await.expect("listed");
    assert_eq!(standing[0].behind_since, None);
    let number = change_log::append(&mut conn, ann, change_log::Kind::Updated)
        .await
        .expect("appended");
    let standing = routers::standing(&mut conn).await.expect("listed");
    assert!(standing[0].behind_since.is_some() && standing[0].router.live);
    assert!(renewed(&mut conn, id, number).await);
    let standing = routers::standing(&mut conn).await.expect("listed");
    assert_eq!(standing[0].behind_since, None);
}
