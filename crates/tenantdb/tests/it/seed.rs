use std::collections::BTreeSet;

use tenantry_tenantdb::permission::{PermissionsList, RolesList, UsersList};
use tenantry_tenantdb::{permission, permissions, roles, seed, users};
use tenantry_types::{Clock, Entropy};

use crate::server::{Databases, ask};
use crate::tenant::{BUILTIN, Tenant, email, hash};

pub async fn gives_three_roles_and_an_admin(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let grants = tenant.admin.grants.clone();
    let registry: BTreeSet<String> = permissions::list(
        &mut tenant.conn,
        &grants.require::<PermissionsList>().unwrap(),
    )
    .await
    .unwrap()
    .into_iter()
    .map(|entry| format!("{}:{}", entry.resource, entry.action))
    .collect();
    for asked_for in permission::ASKED_FOR {
        assert!(registry.contains(*asked_for), "{asked_for} is registered");
    }

    let roles = roles::list(&mut tenant.conn, &grants.require::<RolesList>().unwrap())
        .await
        .unwrap();
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, BUILTIN);
    let [admin, editor, viewer] = [0, 1, 2].map(|index| {
        assert!(roles[index].is_builtin);
        BTreeSet::from_iter(roles[index].permissions.iter().cloned())
    });
    assert_eq!(admin, registry, "Admin may do everything");
    let sees: BTreeSet<String> = registry
        .iter()
        .filter(|name| name.ends_with(":list") || name.ends_with(":read"))
        .cloned()
        .collect();
    assert_eq!(viewer, sees);
    let more: Vec<&String> = editor.difference(&viewer).collect();
    assert_eq!(more, ["records:create", "records:delete", "records:update"]);
    assert!(editor.is_superset(&viewer));
}

pub async fn again_changes_nothing(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let before = everything(&mut tenant).await;
    let again = seed::Admin {
        user_id: tenant.admin.user_id,
        email: email("ann@acme.example"),
        password_hash: Some(hash()),
    };
    seed::seed(
        &mut tenant.conn,
        Some(&again),
        &tenant.clock,
        &tenant.entropy,
    )
    .await
    .unwrap();
    assert_eq!(everything(&mut tenant).await, before);
}

async fn everything(tenant: &mut Tenant) -> (Vec<roles::Role>, Vec<users::User>) {
    let grants = tenant.admin.grants.clone();
    let roles = roles::list(&mut tenant.conn, &grants.require::<RolesList>().unwrap())
        .await
        .unwrap();
    let granted = grants.require::<UsersList>().unwrap();
    let (users, next) = users::page(&mut tenant.conn, &granted, 100, None)
        .await
        .unwrap();
    assert_eq!((users.len(), next), (1, None));
    (roles, users)
}

pub async fn without_an_admin_gives_the_roles_alone(databases: Databases) {
    let db = databases.migrated().await;
    let mut conn = db.app().await;
    seed::seed(&mut conn, None, &Clock::system(), &Entropy::system())
        .await
        .unwrap();
    let counts =
        "SELECT (SELECT count(*) FROM tenantry.roles) * 10 + (SELECT count(*) FROM tenantry.users)";
    assert_eq!(ask::<i64>(&mut conn, counts).await, 30);
}
