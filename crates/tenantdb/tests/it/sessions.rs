use sqlx::Connection;
use tenantry_tenantdb::permission::UsersUpdate;
use tenantry_tenantdb::sessions::{self, SessionError};
use tenantry_tenantdb::users::{self, Change};
use tenantry_types::{ErrorKind, Secret, UserId};

use crate::server::{Databases, ask, execute};
use crate::tenant::{Tenant, lifetime};

pub async fn begin_for_active_people_only(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    execute(
        &mut tenant.conn,
        "UPDATE tenantry.users SET is_active = false WHERE email LIKE 'bob%'",
    )
    .await;
    let nobody = UserId::generate(&tenant.clock, &tenant.entropy);
    for id in [bob, nobody] {
        let begun = sessions::begin(
            &mut tenant.conn,
            id,
            &tenant.clock,
            &tenant.entropy,
            lifetime(),
        );
        let refused = begun.await.unwrap_err();
        assert!(matches!(refused, SessionError::Inactive), "{refused:?}");
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    }
    let left: i64 = ask(&mut tenant.conn, "SELECT count(*) FROM tenantry.sessions").await;
    assert_eq!(left, 1, "only the admin's");
}

pub async fn wait_for_a_deactivation_under_way(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let update = tenant.admin.grants.require::<UsersUpdate>().unwrap();
    let mut tx = tenant.conn.begin().await.unwrap();
    let change = Change {
        is_active: Some(false),
        ..Change::default()
    };
    users::update(&mut tx, &update, bob, change, &tenant.clock)
        .await
        .unwrap();

    let mut other = tenant.db.app().await;
    let (clock, entropy) = (tenant.clock.clone(), tenant.entropy.clone());
    let begun = tokio::spawn(async move {
        sessions::begin(&mut other, bob, &clock, &entropy, lifetime()).await
    });
    tenant.db.until_waiting(1).await;
    tx.commit().await.unwrap();
    assert!(matches!(begun.await.unwrap(), Err(SessionError::Inactive)));
}

pub async fn are_stored_without_their_token(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let (_, issued) = tenant.sign_in(bob).await;
    let token = issued.refresh_token.expose();
    assert_eq!(token.len(), 43, "256 bits");
    assert_eq!(issued.expires_at, expiry(&mut tenant, bob).await);
    let text: String = ask(
        &mut tenant.conn,
        "SELECT string_agg(t::text || encode(token_hash, 'escape'), '') FROM tenantry.refresh_tokens t",
    )
    .await;
    assert!(!text.contains(token));
    let hashed = format!(
        "SELECT count(*) FROM tenantry.refresh_tokens WHERE token_hash = sha256('{token}'::bytea)"
    );
    assert_eq!(ask::<i64>(&mut tenant.conn, &hashed).await, 1);
    assert!(!format!("{issued:?}").contains(token));
}

pub async fn end_by_token_and_by_their_own_person(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let (phone, issued) = tenant.sign_in(bob).await;
    let (laptop, _) = tenant.sign_in(bob).await;
    let clock = tenant.clock.clone();

    // An older token of the family is enough to sign out.
    sessions::rotate(
        &mut tenant.conn,
        &issued.refresh_token,
        &clock,
        &tenant.entropy,
    )
    .await
    .unwrap();
    let conn = &mut tenant.conn;
    assert!(
        sessions::end_by_token(conn, &issued.refresh_token, &clock)
            .await
            .unwrap()
    );
    assert!(
        !sessions::end_by_token(conn, &issued.refresh_token, &clock)
            .await
            .unwrap()
    );
    assert!(
        !sessions::end_by_token(conn, &Secret::new("made up"), &clock)
            .await
            .unwrap()
    );
    assert!(tenant.load(&phone).await.is_none());
    assert!(tenant.load(&laptop).await.is_some());

    let admins = tenant.admin.grants.require().unwrap();
    let foreign = sessions::end(&mut tenant.conn, &admins, laptop.session_id, &clock);
    assert!(
        !foreign.await.unwrap(),
        "not even an Admin ends it as their own"
    );
    let own = laptop.grants.require().unwrap();
    assert!(
        sessions::end(&mut tenant.conn, &own, laptop.session_id, &clock)
            .await
            .unwrap()
    );
    assert!(tenant.load(&laptop).await.is_none());
}

pub async fn long_over_are_cleared_away_at_the_next_sign_in(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    tenant.sign_in(bob).await;
    tenant
        .clock
        .advance(lifetime() + chrono::Duration::hours(23));
    tenant.sign_in(bob).await;
    let of_bob = format!("SELECT count(*) FROM tenantry.sessions WHERE user_id = '{bob}'");
    assert_eq!(
        ask::<i64>(&mut tenant.conn, &of_bob).await,
        2,
        "over for less than a day"
    );
    tenant.clock.advance(chrono::Duration::hours(2));
    tenant.sign_in(bob).await;
    assert_eq!(ask::<i64>(&mut tenant.conn, &of_bob).await, 2);
    let all: i64 = ask(&mut tenant.conn, "SELECT count(*) FROM tenantry.sessions").await;
    assert_eq!(all, 3, "others' are left alone");
}

async fn expiry(tenant: &mut Tenant, user: UserId) -> tenantry_types::Timestamp {
    let sql = format!("SELECT expires_at FROM tenantry.sessions WHERE user_id = '{user}'");
    ask(&mut tenant.conn, &sql).await
}
