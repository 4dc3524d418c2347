//! One-time codes.

use chrono::Duration;
use sqlx::Connection;
use tenantry_tenantdb::permission::{UsersDelete, UsersUpdate};
use tenantry_tenantdb::sign_in_codes::{self, IssueError, Issued, MOST_PER_USER};
use tenantry_tenantdb::users::{self, Change};
use tenantry_types::{Secret, UserId};

use crate::server::{Databases, ask, execute};
use crate::tenant::{HASH, Tenant, hash};

const MINUTE: Duration = Duration::seconds(60);

/// A person who has a password.
async fn bob(tenant: &mut Tenant) -> UserId {
    let id = tenant.person("bob@acme.example", &[]).await;
    let sql = format!("UPDATE tenantry.users SET password_hash = '{HASH}' WHERE email LIKE 'bob%'");
    execute(&mut tenant.conn, sql).await;
    id
}

async fn issue(tenant: &mut Tenant, user: UserId) -> Result<Issued, IssueError> {
    let (clock, entropy) = (tenant.clock.clone(), tenant.entropy.clone());
    sign_in_codes::issue(&mut tenant.conn, user, &hash(), &clock, &entropy, MINUTE).await
}

async fn redeem(tenant: &mut Tenant, code: &Secret) -> Option<UserId> {
    let clock = tenant.clock.clone();
    sign_in_codes::redeem(&mut tenant.conn, code, &clock)
        .await
        .unwrap()
}

pub async fn are_good_once_and_for_their_person(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let (ann, bob) = (tenant.admin.user_id, bob(&mut tenant).await);
    let (of_ann, of_bob) = (
        issue(&mut tenant, ann).await.unwrap(),
        issue(&mut tenant, bob).await.unwrap(),
    );
    assert_eq!(of_ann.code.expose().len(), 43, "256 bits");
    let left = of_ann.expires_at - tenant.clock.now();
    assert!(left <= MINUTE && left > Duration::zero(), "{left}");
    assert_eq!(redeem(&mut tenant, &of_bob.code).await, Some(bob));
    assert_eq!(redeem(&mut tenant, &of_bob.code).await, None);
    assert_eq!(redeem(&mut tenant, &of_ann.code).await, Some(ann));
    assert_eq!(redeem(&mut tenant, &Secret::new("x")).await, None);
}

pub async fn end_by_age_and_are_swept_by_the_next(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let ann = tenant.admin.user_id;
    let bob = bob(&mut tenant).await;
    let old = issue(&mut tenant, ann).await.unwrap();
    tenant.clock.advance(MINUTE);
    // Whoever signs in next clears it away, and only it.
    issue(&mut tenant, bob).await.unwrap();
    let left = "SELECT count(*)::text FROM tenantry.sign_in_codes";
    assert_eq!(ask::<String>(&mut tenant.conn, left).await, "1");
    assert_eq!(redeem(&mut tenant, &old.code).await, None);
    let over = issue(&mut tenant, ann).await.unwrap();
    tenant.clock.advance(MINUTE);
    assert_eq!(redeem(&mut tenant, &over.code).await, None);
}

pub async fn are_few_per_person(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let ann = tenant.admin.user_id;
    let bob = bob(&mut tenant).await;
    let of_bob = issue(&mut tenant, bob).await.unwrap();
    let mut codes = Vec::new();
    for _ in 0..=MOST_PER_USER {
        tenant.clock.advance(Duration::milliseconds(1));
        codes.push(issue(&mut tenant, ann).await.unwrap());
    }
    assert_eq!(redeem(&mut tenant, &codes[0].code).await, None);
    for code in &codes[1..] {
        assert_eq!(redeem(&mut tenant, &code.code).await, Some(ann));
    }
    assert_eq!(redeem(&mut tenant, &of_bob.code).await, Some(bob));
}

pub async fn stand_for_the_password_that_was_proven(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let bob = bob(&mut tenant).await;
    let code = issue(&mut tenant, bob).await.unwrap();
    // By hand, as a product may: no session of ours is ended by it.
    execute(
        &mut tenant.conn,
        "UPDATE tenantry.users SET password_hash = password_hash || 'x' WHERE email LIKE 'bob%'",
    )
    .await;
    assert_eq!(redeem(&mut tenant, &code.code).await, None);
    // The hash that was proven is not theirs any more.
    let refused = issue(&mut tenant, bob).await.unwrap_err();
    assert!(matches!(refused, IssueError::Changed), "{refused}");
    execute(
        &mut tenant.conn,
        "UPDATE tenantry.users SET password_hash = NULL WHERE email LIKE 'bob%'",
    )
    .await;
    let refused = issue(&mut tenant, bob).await.unwrap_err();
    assert!(matches!(refused, IssueError::Changed), "{refused}");
}

pub async fn are_nothing_without_an_active_person(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let clock = tenant.clock.clone();
    let bob = bob(&mut tenant).await;
    let (first, second) = (
        issue(&mut tenant, bob).await.unwrap(),
        issue(&mut tenant, bob).await.unwrap(),
    );
    let update = tenant.admin.grants.require::<UsersUpdate>().unwrap();
    let mut tx = tenant.conn.begin().await.unwrap();
    let change = Change {
        is_active: Some(false),
        ..Change::default()
    };
    users::update(&mut tx, &update, bob, change, &clock)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(redeem(&mut tenant, &first.code).await, None);
    let refused = issue(&mut tenant, bob).await.unwrap_err();
    assert!(matches!(refused, IssueError::Changed), "{refused}");

    let delete = tenant.admin.grants.require::<UsersDelete>().unwrap();
    let mut tx = tenant.conn.begin().await.unwrap();
    assert!(users::remove(&mut tx, &delete, bob).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(redeem(&mut tenant, &second.code).await, None);
    let refused = issue(&mut tenant, bob).await.unwrap_err();
    assert!(matches!(refused, IssueError::Changed), "{refused}");
}

pub async fn are_stored_without_what_was_told(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let ann = tenant.admin.user_id;
    let issued = issue(&mut tenant, ann).await.unwrap();
    let row: String = ask(
        &mut tenant.conn,
        "SELECT c::text FROM tenantry.sign_in_codes c",
    )
    .await;
    assert!(!row.contains(issued.code.expose()), "{row}");
    assert!(!format!("{issued:?}").contains(issued.code.expose()));
    // Whoever may only read the tenant's data reads none of it.
    let may: String = ask(
        &mut tenant.conn,
        "SELECT has_table_privilege('tenantry_readonly', 'tenantry.sign_in_codes', 'SELECT')::text",
    )
    .await;
    assert_eq!(may, "false");
}

pub async fn of_a_database_without_the_table_are_none(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let ann = tenant.admin.user_id;
    let mut owner = tenant.db.owner().await;
    execute(&mut owner, "DROP TABLE tenantry.sign_in_codes").await;
    let refused = issue(&mut tenant, ann).await.unwrap_err();
    assert!(matches!(refused, IssueError::NotMigrated), "{refused}");
    assert_eq!(redeem(&mut tenant, &Secret::new("x")).await, None);
}
