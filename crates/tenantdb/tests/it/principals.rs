use tenantry_tenantdb::permission::UsersUpdate;
use tenantry_tenantdb::principals;
use tenantry_tenantdb::sessions;

use crate::server::{Databases, execute};
use crate::tenant::{Tenant, lifetime};

pub async fn hold_what_their_roles_allow(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    tenant.role("Clerk", &["users:list", "records:read"]).await;
    tenant.role("Greeter", &["users:list", "apps:read"]).await;
    let bob = tenant
        .principal("bob@acme.example", &["Greeter", "Clerk"])
        .await;
    assert_eq!(bob.email.as_str(), "bob@acme.example");
    assert_eq!(bob.roles, ["Clerk", "Greeter"]);
    let held: Vec<&str> = bob.grants.all().collect();
    assert_eq!(held, ["apps:read", "records:read", "users:list"]);
    let denied = bob.grants.require::<UsersUpdate>().unwrap_err();
    assert_eq!((denied.resource, denied.action), ("users", "update"));
    assert_eq!(denied.code(), "PERMISSION_DENIED");

    execute(&mut tenant.conn, "DELETE FROM tenantry.user_roles WHERE role_id = (SELECT id FROM tenantry.roles WHERE name = 'Clerk')").await;
    let bob = tenant.load(&bob).await.unwrap();
    let held: Vec<&str> = bob.grants.all().collect();
    assert_eq!(held, ["apps:read", "users:list"], "as it is now");
}

pub async fn are_nobody_without_a_live_session_of_an_active_person(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.principal("bob@acme.example", &["Viewer"]).await;
    let admin = tenant.admin.clone();

    let foreign = principals::load(
        &mut tenant.conn,
        bob.user_id,
        admin.session_id,
        &tenant.clock,
    );
    assert!(foreign.await.unwrap().is_none(), "another's session");

    execute(
        &mut tenant.conn,
        "UPDATE tenantry.users SET is_active = false WHERE email = 'bob@acme.example'",
    )
    .await;
    assert!(tenant.load(&bob).await.is_none(), "inactive");
    execute(
        &mut tenant.conn,
        "UPDATE tenantry.users SET is_active = true",
    )
    .await;
    assert!(tenant.load(&bob).await.is_some());

    let own = bob.grants.require().unwrap();
    assert!(
        sessions::end(&mut tenant.conn, &own, bob.session_id, &tenant.clock)
            .await
            .unwrap()
    );
    assert!(tenant.load(&bob).await.is_none(), "ended");

    tenant.clock.advance(lifetime());
    assert!(tenant.load(&admin).await.is_none(), "over its age");

    execute(&mut tenant.conn, "DELETE FROM tenantry.users").await;
    assert!(tenant.load(&admin).await.is_none(), "gone");
}
