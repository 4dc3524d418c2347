use tenantry_tenantdb::{TenantDbError, identity};

use crate::server::{Databases, execute};

const ROW: &str = "INSERT INTO tenantry_self.identity (installation, database_id, epoch)
    VALUES ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 3)";

pub async fn is_read_in_one_piece(databases: Databases) {
    let db = databases.migrated().await;
    execute(&mut db.superuser().await, ROW).await;
    let mut conn = db.app().await;
    let identity = identity::read(&mut conn).await.unwrap().unwrap();
    assert_eq!(identity.installation.as_uuid().as_u128() & 0xff, 1);
    assert_eq!(identity.database_id.as_uuid().as_u128() & 0xff, 2);
    assert_eq!(identity.epoch, 3);
    let again = identity::read(&mut conn).await.unwrap();
    assert_eq!(again, Some(identity), "the connection stays usable");
}

pub async fn is_none_where_the_database_has_none(databases: Databases) {
    let db = databases.migrated().await;
    let mut conn = db.superuser().await;
    assert_eq!(identity::read(&mut conn).await.unwrap(), None, "no row");
    execute(&mut conn, "DROP TABLE tenantry_self.identity").await;
    assert_eq!(identity::read(&mut conn).await.unwrap(), None, "no table");
    execute(&mut conn, "DROP SCHEMA tenantry_self").await;
    assert_eq!(identity::read(&mut conn).await.unwrap(), None, "no schema");
}

pub async fn that_may_not_be_read_is_an_error_of_its_own(databases: Databases) {
    let db = databases.migrated().await;
    let mut conn = db.superuser().await;
    execute(&mut conn, ROW).await;
    execute(
        &mut conn,
        "REVOKE SELECT ON tenantry_self.identity FROM tenantry_app",
    )
    .await;
    let refused = identity::read(&mut db.app().await).await.unwrap_err();
    assert!(matches!(refused, TenantDbError::IdentityUnreadable(_)));
}
