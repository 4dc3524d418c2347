use sqlx::Connection;
use tenantry_tenantdb::permission::{UsersCreate, UsersDelete, UsersUpdate};
use tenantry_tenantdb::users::{self, Change, User, UserError};
use tenantry_types::{ErrorKind, UserId};

use crate::server::Databases;
use crate::tenant::{Tenant, email, hash, new, owned};

const MANAGER: [&str; 4] = ["users:list", "users:create", "users:update", "users:delete"];

pub async fn nobody_gives_a_role_with_a_permission_they_lack(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    tenant.role("Manager", &MANAGER).await;
    tenant.role("Lister", &["users:list"]).await;
    let manager = tenant.principal("max@acme.example", &["Manager"]).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let create = manager.grants.require::<UsersCreate>().unwrap();
    let update = manager.grants.require::<UsersUpdate>().unwrap();

    for role in ["Admin", "Editor", "Viewer"] {
        let mut tx = tenant.conn.begin().await.unwrap();
        let cid = new("cid@acme.example", &["Lister", role]);
        let given = users::insert(&mut tx, &create, cid, &tenant.clock, &tenant.entropy).await;
        lacks(given.unwrap_err());
        let change = Change {
            roles: Some(owned(&[role])),
            ..Change::default()
        };
        let given = users::update(&mut tx, &update, bob, change.clone(), &tenant.clock).await;
        lacks(given.unwrap_err());
        // Nor to oneself.
        let given = users::update(&mut tx, &update, manager.user_id, change, &tenant.clock).await;
        lacks(given.unwrap_err());
    }
    let mut tx = tenant.conn.begin().await.unwrap();
    let change = Change {
        roles: Some(owned(&["Lister", "Manager"])),
        ..Change::default()
    };
    let given = users::update(&mut tx, &update, bob, change, &tenant.clock).await;
    assert_eq!(
        given.unwrap().unwrap().roles,
        ["Lister", "Manager"],
        "what one holds, one gives"
    );
}

pub async fn nobody_touches_a_person_with_a_permission_they_lack(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    tenant.role("Manager", &MANAGER).await;
    let manager = tenant.principal("max@acme.example", &["Manager"]).await;
    tenant.person("eve@acme.example", &["Admin"]).await;
    let viewer = tenant.person("vic@acme.example", &["Viewer"]).await;
    let (admin, clock) = (tenant.admin.user_id, tenant.clock.clone());
    let update = manager.grants.require::<UsersUpdate>().unwrap();
    let delete = manager.grants.require::<UsersDelete>().unwrap();

    let changes = [
        Change {
            email: Some(email("max2@acme.example")),
            ..Change::default()
        },
        Change {
            name: Some("Max".to_owned()),
            ..Change::default()
        },
        Change {
            is_active: Some(false),
            ..Change::default()
        },
        Change {
            roles: Some(Vec::new()),
            ..Change::default()
        },
        Change {
            password_hash: Some(hash()),
            ..Change::default()
        },
    ];
    for target in [admin, viewer] {
        let before = stored(&mut tenant, target).await;
        for change in changes.clone() {
            let mut tx = tenant.conn.begin().await.unwrap();
            lacks(
                users::update(&mut tx, &update, target, change, &clock)
                    .await
                    .unwrap_err(),
            );
            tx.commit().await.unwrap();
        }
        let mut tx = tenant.conn.begin().await.unwrap();
        lacks(users::remove(&mut tx, &delete, target).await.unwrap_err());
        tx.commit().await.unwrap();
        // Even a commit after the refusal changes nothing: it comes before the first write.
        assert_eq!(stored(&mut tenant, target).await, before);
    }
}

pub async fn an_equal_may_be_changed(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    tenant.role("Manager", &MANAGER).await;
    let manager = tenant.principal("max@acme.example", &["Manager"]).await;
    let mia = tenant.person("mia@acme.example", &["Manager"]).await;
    let update = manager.grants.require::<UsersUpdate>().unwrap();
    let delete = manager.grants.require::<UsersDelete>().unwrap();
    let mut tx = tenant.conn.begin().await.unwrap();
    let change = Change {
        is_active: Some(false),
        password_hash: Some(hash()),
        ..Change::default()
    };
    let changed = users::update(&mut tx, &update, mia, change, &tenant.clock).await;
    assert!(!changed.unwrap().unwrap().is_active);
    assert!(users::remove(&mut tx, &delete, mia).await.unwrap());
}

fn lacks(error: UserError) {
    let UserError::Escalation { permission } = &error else {
        panic!("{error:?}")
    };
    assert!(permission.contains(':'), "{permission}");
    assert!(
        !MANAGER.contains(&permission.as_str()),
        "{permission} is held"
    );
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Forbidden, "PERMISSION_DENIED")
    );
}

async fn stored(tenant: &mut Tenant, id: UserId) -> Option<User> {
    let granted = tenant.admin.grants.require().unwrap();
    users::get(&mut tenant.conn, &granted, id).await.unwrap()
}
