//! A birth's two turns over several tables.

use std::time::Duration;

use sqlx::Connection;
use tenantry_catalog::births::{self, Claim, Opening, Told};
use tenantry_catalog::databases::{self, NameError, State};
use tenantry_catalog::directory::{self, AddressHash};
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_catalog::tenants::{self, Status};
use tenantry_catalog::{change_log, operation_secrets};
use tenantry_types::{DatabaseId, DbName, OperationId, RoleName, TenantId};
use tenantry_vault::{Place, Sealed};

use crate::world::{Db, LONG, execute, waits};

const ANN: AddressHash = [7; 32];
const KEY: &str = "k1.11111111";
const ROLES: [LoginRole; 3] = [LoginRole::Owner, LoginRole::Router, LoginRole::User];

/// A tenant that is being born, with a database and three logins that belong to nobody.
struct Birth {
    operation: OperationId,
    tenant: TenantId,
    database: DatabaseId,
    answer: Sealed,
}

impl Birth {
    async fn new(db: &Db, slug: &str) -> Self {
        let mut conn = db.conn().await;
        let cluster = match tenantry_catalog::clusters::default(&mut conn).await {
            Ok(Some(cluster)) => cluster.id,
            _ => db.cluster("one").await,
        };
        let tenant = db.tenant(cluster, slug).await;
        let operation = db.operation(&mut conn, Some(tenant), LONG).await;
        let operation = operation.expect("begun");
        let database = db.making(cluster, &format!("new_{slug}")).await;
        let keys = db.keys.admin();
        let sealed = |role: LoginRole| {
            let place = Place::login(database, role.as_str());
            keys.seal(&db.entropy, &place, &"of a login".to_owned().into())
                .expect("sealed")
        };
        let logins = ROLES.map(|role| Login {
            database_id: database,
            role,
            name: named(&format!("new_{slug}"), role),
            sealed: Some(sealed(role)),
        });
        logins::insert_all(&mut conn, &logins)
            .await
            .expect("inserted");
        let place = Place::operation_secret(operation, "answer");
        let answer = keys.seal(&db.entropy, &place, &"told".to_owned().into());
        Self {
            operation,
            tenant,
            database,
            answer: answer.expect("sealed"),
        }
    }

    async fn claim(&self, db: &Db, fence: i64, name: &str) -> Result<bool, NameError> {
        let base = DbName::parse(name).expect("a name");
        let logins = ROLES.map(|role| (role, named(name, role)));
        let claim = Claim {
            database: self.database,
            tenant: self.tenant,
            name: &base,
            logins: &logins,
        };
        births::claim(&mut db.conn().await, self.operation, fence, &claim).await
    }

    /// Opens it; `telling` as at first, otherwise as when that was done before a crash.
    async fn open(&self, db: &Db, fence: i64, telling: bool) -> Option<i64> {
        let told = telling.then(|| Told {
            name: "answer",
            answer: &self.answer,
            until: db.clock.now() + chrono::Duration::hours(24),
            database: self.database,
            directory_key: KEY,
            first_person: Some(ANN),
            listed_again: Duration::from_secs(3600),
        });
        let tenant = self.tenant;
        let opening = Opening { tenant, told };
        births::open(&mut db.conn().await, self.operation, fence, &opening)
            .await
            .expect("asked")
    }

    async fn status(&self, db: &Db) -> Status {
        let tenant = tenants::by_operation(&mut db.conn().await, self.operation).await;
        tenant.expect("read").expect("there").status
    }
}

fn named(base: &str, role: LoginRole) -> RoleName {
    RoleName::parse(format!("{base}_{}", role.as_str())).expect("a name")
}

/// Seen to fail without the condition on the fence, and without the one on the tenant.
pub async fn a_claim_is_its_drivers_and_takes_the_logins_along(db: Db) {
    let (ann, ben) = (Birth::new(&db, "ann").await, Birth::new(&db, "ben").await);
    let mut conn = db.conn().await;
    let before = databases::by_id(&mut conn, ann.database)
        .await
        .expect("read");
    assert!(!ann.claim(&db, 2, "tenant_ann").await.expect("asked"));
    let found = databases::by_id(&mut conn, ann.database).await;
    assert_eq!(found.expect("read"), before);

    for _ in 0..2 {
        assert!(ann.claim(&db, 1, "tenant_ann").await.expect("claimed"));
    }
    let found = databases::by_tenant(&mut conn, ann.tenant)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (found.id, found.state, found.name.as_str()),
        (ann.database, State::Claimed, "tenant_ann")
    );
    for login in logins::by_database(&mut conn, ann.database)
        .await
        .expect("read")
    {
        assert_eq!(login.name, named("tenant_ann", login.role));
        assert!(login.sealed.is_some());
    }

    let thief = Birth {
        database: ann.database,
        ..ben
    };
    let refused = thief.claim(&db, 1, "tenant_ben").await;
    assert!(matches!(refused, Err(NameError::NotFree(id)) if id == ann.database));
    let ben = Birth {
        database: Birth::new(&db, "cat").await.database,
        ..thief
    };
    let refused = ben.claim(&db, 1, "tenant_ann").await;
    assert!(matches!(refused, Err(NameError::NameTaken(_))));
}

/// Seen to fail without the condition on the fence, and with the deletion of the other secrets, the
/// forgetting of the login's, or the listing taken out.
pub async fn an_opening_is_its_drivers_and_is_told_of_once(db: Db) {
    let birth = Birth::new(&db, "ann").await;
    let mut conn = db.conn().await;
    operation_secrets::put(&mut conn, birth.operation, "admin", &birth.answer, None)
        .await
        .expect("put");
    let domain = format!(
        "INSERT INTO domains (name, tenant_id, kind, is_primary) VALUES ('ann', '{}', 'subdomain', true)",
        birth.tenant
    );
    execute(&mut conn, &domain).await;
    let before = change_log::current(&mut conn).await.expect("read");
    tenants::set_status(&mut conn, birth.tenant, Status::Provisioning, None)
        .await
        .expect("set");

    assert_eq!(birth.open(&db, 2, true).await, None);
    assert_eq!(birth.status(&db).await, Status::Provisioning);
    assert_eq!(change_log::current(&mut conn).await.expect("read"), before);
    let secret = |name: &'static str| {
        let (db, operation) = (&db, birth.operation);
        async move {
            let found = operation_secrets::get(&mut db.conn().await, operation, name).await;
            found.expect("read").is_some()
        }
    };
    assert!(secret("admin").await && !secret("answer").await);

    assert_eq!(birth.open(&db, 1, true).await, Some(before + 1));
    assert_eq!(birth.status(&db).await, Status::Active);
    assert!(!secret("admin").await && secret("answer").await);
    for login in logins::by_database(&mut conn, birth.database)
        .await
        .expect("read")
    {
        let forgotten = login.role == LoginRole::User;
        assert_eq!(login.sealed.is_none(), forgotten, "{:?}", login.role);
    }
    let listed = directory::tenants_of(&mut conn, &ANN, 8)
        .await
        .expect("read");
    assert_eq!(listed.len(), 1);
    assert_eq!(directory::make_due(&mut conn, KEY).await.expect("asked"), 0);

    // After a crash that took the journal's line.
    assert_eq!(birth.open(&db, 1, false).await, Some(before + 2));
    assert_eq!(birth.status(&db).await, Status::Active);
    assert!(secret("answer").await);
}

/// Whoever waits for a row must not hold the number that all changes need. Seen to fail with a counter
/// that does not wait for the tenant's row.
pub async fn an_opening_that_waits_for_a_row_holds_up_no_change(db: Db) {
    let (ann, ben) = (Birth::new(&db, "ann").await, Birth::new(&db, "ben").await);
    let mut conn = db.conn().await;
    for held in [
        format!("SELECT FROM tenants WHERE id = '{}' FOR UPDATE", ann.tenant),
        format!(
            "SELECT FROM logins WHERE database_id = '{}' FOR UPDATE",
            ann.database
        ),
    ] {
        let mut tx = conn.begin().await.expect("begun");
        execute(&mut tx, &held).await;
        let opening = ann.open(&db, 1, true);
        tokio::pin!(opening);
        let moment = Duration::from_millis(300);
        let waits = tokio::time::timeout(moment, &mut opening).await;
        assert!(waits.is_err(), "{held}");
        let other = tokio::time::timeout(LONG, ben.open(&db, 1, true)).await;
        let number = other.expect("it does not wait").expect("opened");
        tx.commit().await.expect("committed");
        assert_eq!(opening.await, Some(number + 1), "{held}");
    }
}

/// The counter's row is another one when the lock on it comes; what was read beside it still counts.
pub async fn an_opening_that_waits_for_the_number_gets_the_next_one(db: Db) {
    let (ann, ben) = (Birth::new(&db, "ann").await, Birth::new(&db, "ben").await);
    let mut conn = db.conn().await;
    let mut tx = conn.begin().await.expect("begun");
    let number = change_log::append(&mut tx, ben.tenant, change_log::Kind::Updated)
        .await
        .expect("appended");
    let db = std::sync::Arc::new(db);
    let mut opening = tokio::spawn({
        let db = db.clone();
        async move { ann.open(&db, 1, true).await }
    });
    assert!(waits(&mut opening).await);
    tx.commit().await.expect("committed");
    assert_eq!(opening.await.expect("no panic"), Some(number + 1));
}
