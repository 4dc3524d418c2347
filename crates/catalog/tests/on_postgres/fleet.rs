//! What a fleet-wide migration sees.

use tenantry_catalog::databases;
use tenantry_catalog::tenants::{self, Status};
use tenantry_types::DbName;

use crate::world::Db;

pub async fn a_migration_covers_tenants_and_spares_but_none_in_the_making(db: Db) {
    let cluster = db.cluster("one").await;
    let spare = db.making(cluster, "spare").await;
    let taken = db.making(cluster, "taken").await;
    db.making(cluster, "making").await;
    let ann = db.tenant(cluster, "ann").await;
    let mut conn = db.conn().await;
    databases::put_by(&mut conn, spare).await.expect("set");
    let name = DbName::parse("tenant_ann").expect("a name");
    databases::claim(&mut conn, taken, ann, &name)
        .await
        .expect("claimed");

    let all = databases::all_for_migration(&mut conn)
        .await
        .expect("listed");
    let ids: Vec<_> = all.iter().map(|found| found.database.id).collect();
    assert_eq!(ids, [spare, taken]);
    assert_eq!(all[0].tenant, None);
    let tenant = all[1].tenant.as_ref().expect("a tenant");
    assert_eq!(
        (tenant.id, tenant.slug.as_str(), tenant.epoch),
        (ann, "ann", 1)
    );
    assert_eq!(tenant.status, Status::Active);

    assert!(
        databases::set_migration_error(&mut conn, taken, "no")
            .await
            .expect("set")
    );
    let shown = tenants::by_id(&mut conn, ann)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(shown.migration_error.as_deref(), Some("no"));
    assert_eq!(shown.schema.as_deref(), Some("s1"));
    assert!(
        databases::set_migrated(&mut conn, taken, "s2")
            .await
            .expect("set")
    );
    let shown = tenants::by_id(&mut conn, ann)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(shown.migration_error, None);
    assert_eq!(shown.schema.as_deref(), Some("s2"));
}
