use sqlx::{Connection, PgConnection};
use tenantry_tenantdb::permission::{Grants, UsersDelete, UsersUpdate};
use tenantry_tenantdb::users::{self, Change, UserError};
use tenantry_types::{Clock, ErrorKind, UserId};

use crate::server::{Databases, ask, execute};
use crate::tenant::{Tenant, email, owned};

const ACTIVE_ADMINS: &str = "SELECT count(*) FROM tenantry.users u
    JOIN tenantry.user_roles ur ON ur.user_id = u.id JOIN tenantry.roles r ON r.id = ur.role_id
    WHERE u.is_active AND r.name = 'Admin'";

pub async fn the_last_active_one_cannot_be_taken_away(databases: Databases) {
    let mut tenant = Tenant::new(&databases).await;
    let (ann, clock) = (tenant.admin.user_id, tenant.clock.clone());
    let update = tenant.admin.grants.require::<UsersUpdate>().unwrap();
    let delete = tenant.admin.grants.require::<UsersDelete>().unwrap();
    // One who is not active does not count.
    let eve = tenant.person("eve@acme.example", &["Admin"]).await;
    let inactive = Change {
        is_active: Some(false),
        ..Change::default()
    };
    let mut tx = tenant.conn.begin().await.unwrap();
    users::update(&mut tx, &update, eve, inactive.clone(), &clock)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let editor = Change {
        roles: Some(owned(&["Editor"])),
        ..Change::default()
    };
    let both = Change {
        is_active: Some(false),
        roles: Some(owned(&["Admin"])),
        ..Change::default()
    };
    for change in [inactive, editor, both] {
        let mut tx = tenant.conn.begin().await.unwrap();
        let refused = users::update(&mut tx, &update, ann, change, &clock)
            .await
            .unwrap_err();
        assert!(matches!(refused, UserError::LastAdmin), "{refused:?}");
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::Conflict, "LAST_ADMIN")
        );
    }
    let mut tx = tenant.conn.begin().await.unwrap();
    let refused = users::remove(&mut tx, &delete, ann).await.unwrap_err();
    assert!(matches!(refused, UserError::LastAdmin), "{refused:?}");

    let more = Change {
        email: Some(email("ann2@acme.example")),
        roles: Some(owned(&["Admin", "Editor"])),
        ..Change::default()
    };
    users::update(&mut tx, &update, ann, more, &clock)
        .await
        .unwrap();
    // The inactive one may go, and a second active one makes the first dispensable.
    assert!(users::remove(&mut tx, &delete, eve).await.unwrap());
    tx.commit().await.unwrap();
    tenant.person("eve@acme.example", &["Admin"]).await;
    let mut tx = tenant.conn.begin().await.unwrap();
    assert!(users::remove(&mut tx, &delete, ann).await.unwrap());
}

pub async fn two_who_demote_each_other_at_once_leave_one(databases: Databases) {
    let race = Race::new(&databases).await;
    let demoted = race.run(|mut conn, grants, id, clock| async move {
        let update = grants.require::<UsersUpdate>().unwrap();
        let change = Change {
            roles: Some(Vec::new()),
            ..Change::default()
        };
        let mut tx = conn.begin().await.unwrap();
        let outcome = users::update(&mut tx, &update, id, change, &clock).await;
        if outcome.is_ok() {
            tx.commit().await.unwrap();
        }
        outcome.map(drop)
    });
    demoted.await;
}

pub async fn two_who_remove_each_other_at_once_leave_one(databases: Databases) {
    let race = Race::new(&databases).await;
    let removed = race.run(|mut conn, grants, id, _| async move {
        let delete = grants.require::<UsersDelete>().unwrap();
        let mut tx = conn.begin().await.unwrap();
        let outcome = users::remove(&mut tx, &delete, id).await;
        if outcome.is_ok() {
            tx.commit().await.unwrap();
        }
        outcome.map(drop)
    });
    removed.await;
}

/// Two active Admins, each at work on the other.
struct Race {
    tenant: Tenant,
    pairs: [(Grants, UserId); 2],
}

impl Race {
    async fn new(databases: &Databases) -> Self {
        let mut tenant = Tenant::new(databases).await;
        let eve = tenant.principal("eve@acme.example", &["Admin"]).await;
        let ann = tenant.admin.clone();
        let pairs = [(ann.grants, eve.user_id), (eve.grants, ann.user_id)];
        Self { tenant, pairs }
    }

    /// Both are held at their first lock, so that neither has seen what the other does.
    async fn run<F>(mut self, act: impl Fn(PgConnection, Grants, UserId, Clock) -> F)
    where
        F: Future<Output = Result<(), UserError>> + Send + 'static,
    {
        let mut gate = self.tenant.db.superuser().await;
        let mut held = gate.begin().await.unwrap();
        execute(&mut held, "SELECT FROM tenantry.roles FOR UPDATE").await;
        let mut tasks = Vec::new();
        for (grants, id) in self.pairs {
            let conn = self.tenant.db.app().await;
            tasks.push(tokio::spawn(act(
                conn,
                grants,
                id,
                self.tenant.clock.clone(),
            )));
        }
        self.tenant.db.until_waiting(2).await;
        held.rollback().await.unwrap();

        let mut refused = 0;
        for task in tasks {
            if let Err(error) = task.await.unwrap() {
                assert!(matches!(error, UserError::LastAdmin), "{error:?}");
                refused += 1;
            }
        }
        assert_eq!(refused, 1, "one of the two is refused");
        assert_eq!(ask::<i64>(&mut self.tenant.conn, ACTIVE_ADMINS).await, 1);
    }
}
