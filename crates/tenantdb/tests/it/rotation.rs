use sqlx::Connection;
use tenantry_tenantdb::TenantDbError;
use tenantry_tenantdb::sessions::{self, SessionError};
use tenantry_types::{ErrorKind, Secret};

use crate::server::{Databases, ask, execute};
use crate::tenant::{Tenant, lifetime};

const END: &str = "SELECT end_reason FROM tenantry.sessions s JOIN tenantry.users u ON u.id = s.user_id WHERE u.email = 'bob@acme.example'";

pub async fn gives_the_next_token_of_the_same_session(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let (principal, first) = tenant.sign_in(bob).await;
    let mut token = first.refresh_token.clone();
    for _ in 0..3 {
        tenant.clock.advance(chrono::Duration::days(1));
        let rotated = rotate(&mut tenant, &token).await;
        let (who, next) = rotated.unwrap();
        assert_eq!((who, next.session), (bob, first.session));
        assert_eq!(next.expires_at, first.expires_at, "not prolonged");
        assert_ne!(next.refresh_token, token);
        token = next.refresh_token;
    }
    assert!(tenant.load(&principal).await.is_some());
}

pub async fn of_a_used_token_ends_the_family(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let (principal, first) = tenant.sign_in(bob).await;
    let (_, second) = rotate(&mut tenant, &first.refresh_token).await.unwrap();

    let stolen = rotate(&mut tenant, &first.refresh_token).await.unwrap_err();
    assert!(matches!(stolen, SessionError::Reused), "{stolen:?}");
    assert_eq!(
        (stolen.kind(), stolen.code()),
        (ErrorKind::Unauthenticated, "SESSION_ENDED")
    );
    assert_eq!(ask::<String>(&mut tenant.conn, END).await, "reused");
    assert!(
        tenant.load(&principal).await.is_none(),
        "access ends with it"
    );
    let honest = rotate(&mut tenant, &second.refresh_token).await;
    assert!(matches!(honest, Err(SessionError::Ended)));
    let admin = tenant.admin.clone();
    assert!(
        tenant.load(&admin).await.is_some(),
        "nobody else is signed out"
    );
}

pub async fn of_one_token_twice_at_once_has_one_winner_and_ends_the_family(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let (principal, first) = tenant.sign_in(bob).await;

    let mut gate = tenant.db.superuser().await;
    let mut held = gate.begin().await.unwrap();
    execute(&mut held, "SELECT FROM tenantry.sessions FOR UPDATE").await;
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let mut conn = tenant.db.app().await;
        let (token, clock, entropy) = (
            first.refresh_token.clone(),
            tenant.clock.clone(),
            tenant.entropy.clone(),
        );
        tasks.push(tokio::spawn(async move {
            sessions::rotate(&mut conn, &token, &clock, &entropy).await
        }));
    }
    tenant.db.until_waiting(2).await;
    held.rollback().await.unwrap();

    let (mut won, mut reused) = (Vec::new(), 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok((_, issued)) => won.push(issued.refresh_token),
            Err(SessionError::Reused) => reused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((won.len(), reused), (1, 1));
    assert_eq!(ask::<String>(&mut tenant.conn, END).await, "reused");
    assert!(tenant.load(&principal).await.is_none());
    let next = rotate(&mut tenant, &won[0]).await;
    assert!(
        matches!(next, Err(SessionError::Ended)),
        "what the winner got is worth nothing"
    );
}

pub async fn is_refused_when_expired_ended_inactive_or_unknown(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let unknown = rotate(&mut tenant, &Secret::new("made up")).await;
    assert!(matches!(unknown, Err(SessionError::Unknown)));

    let (_, issued) = tenant.sign_in(bob).await;
    sessions::end_by_token(&mut tenant.conn, &issued.refresh_token, &tenant.clock)
        .await
        .unwrap();
    let ended = rotate(&mut tenant, &issued.refresh_token).await;
    assert!(matches!(ended, Err(SessionError::Ended)));

    let (_, issued) = tenant.sign_in(bob).await;
    execute(
        &mut tenant.conn,
        "UPDATE tenantry.users SET is_active = false WHERE email LIKE 'bob%'",
    )
    .await;
    let inactive = rotate(&mut tenant, &issued.refresh_token).await;
    assert!(matches!(inactive, Err(SessionError::Inactive)));
    execute(
        &mut tenant.conn,
        "UPDATE tenantry.users SET is_active = true",
    )
    .await;

    let (_, issued) = tenant.sign_in(bob).await;
    tenant.clock.advance(lifetime());
    let expired = rotate(&mut tenant, &issued.refresh_token).await;
    assert!(matches!(expired, Err(SessionError::Expired)));
}

pub async fn inside_a_transaction_is_refused(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = tenant.person("bob@acme.example", &[]).await;
    let (_, issued) = tenant.sign_in(bob).await;
    let mut tx = tenant.conn.begin().await.unwrap();
    let refused = sessions::rotate(
        &mut tx,
        &issued.refresh_token,
        &tenant.clock,
        &tenant.entropy,
    )
    .await;
    assert!(matches!(
        refused,
        Err(SessionError::Db(TenantDbError::Transaction(_)))
    ));
    tx.rollback().await.unwrap();
    assert!(
        rotate(&mut tenant, &issued.refresh_token).await.is_ok(),
        "the token is not spent"
    );
}

async fn rotate(
    tenant: &mut Tenant,
    token: &Secret,
) -> Result<(tenantry_types::UserId, sessions::Issued), SessionError> {
    sessions::rotate(&mut tenant.conn, token, &tenant.clock, &tenant.entropy).await
}
