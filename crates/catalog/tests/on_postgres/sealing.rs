//! What is sealed with which key, sealing it anew, and whose login is due to be rotated.

use std::time::Duration;

use tenantry_catalog::idempotent_answers::{self, Begun};
use tenantry_catalog::keys;
use tenantry_catalog::logins::{self, Login, LoginRole};
use tenantry_catalog::operators::{NewOperator, Role};
use tenantry_types::{DatabaseId, DbName, InstallationId, OperatorId, RoleName, Secret, TenantId};
use tenantry_vault::{Place, Purpose};

use crate::world::{Db, execute};

const HOUR: Duration = Duration::from_secs(3600);

async fn tenant(db: &Db, slug: &str) -> (TenantId, DatabaseId) {
    let mut conn = db.conn().await;
    let cluster = db.cluster(slug).await;
    let tenant = db.tenant(cluster, slug).await;
    let database = db.making(cluster, &format!("spare_{slug}")).await;
    let name = DbName::parse(format!("tenant_{slug}")).expect("a name");
    tenantry_catalog::databases::claim(&mut conn, database, tenant, &name)
        .await
        .expect("claimed");
    let secret = Secret::new("a password");
    for role in [LoginRole::Owner, LoginRole::Router] {
        let place = Place::login(database, role.as_str());
        let sealed = match role {
            LoginRole::Router => db.keys.route().seal(&db.entropy, &place, &secret),
            _ => db.keys.admin().seal(&db.entropy, &place, &secret),
        };
        let login = Login {
            database_id: database,
            role,
            name: RoleName::parse(format!("tenant_{slug}_{role}")).expect("a name"),
            sealed: Some(sealed.expect("sealed")),
        };
        logins::insert(&mut conn, &login).await.expect("inserted");
    }
    (tenant, database)
}

pub async fn a_secret_is_sealed_anew_unless_somebody_has_changed_it(db: Db) {
    let (_, database) = tenant(&db, "acme").await;
    tenant(&db, "globex").await;
    let mut conn = db.conn().await;
    let installation = InstallationId::generate(&db.clock, &db.entropy);
    let of = |uses: &[keys::Use], purpose, id: &str| -> i64 {
        let uses = uses
            .iter()
            .filter(|used| used.purpose == purpose && used.key_id == id);
        uses.map(|used| used.rows).sum()
    };
    let uses = keys::uses(&mut conn).await.expect("counted");
    assert_eq!(of(&uses, Purpose::Route, "k1"), 2);
    assert_eq!(
        of(&uses, Purpose::Admin, "k1"),
        4,
        "two clusters, two owners"
    );

    // In batches of one, each is found once.
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let batch = keys::behind(&mut conn, Purpose::Route, "k2", after.as_ref(), 1)
            .await
            .expect("read");
        let Some(last) = batch.last() else { break };
        after = Some(last.position());
        found.extend(batch);
    }
    assert_eq!(found.len(), 2);
    let none = keys::behind(&mut conn, Purpose::Route, "k1", None, 10).await;
    assert_eq!(none.expect("read"), []);

    let id = tenantry_vault::KeyId::parse("k2").expect("an id");
    let ring = db
        .keys
        .with_new(&db.entropy, Purpose::Route, id, false)
        .expect("a keyring");
    let stored = found
        .iter()
        .find(|stored| stored.place(installation) == Place::login(database, "router"))
        .expect("acme's");
    let place = stored.place(installation);
    let anew = ring
        .route()
        .rewrap(&db.entropy, &place, &stored.sealed)
        .expect("it opens")
        .expect("by another key");
    // Somebody gives the login another password meanwhile, with the same key.
    let changed = db
        .keys
        .route()
        .seal(&db.entropy, &place, &Secret::new("another"));
    let changed = changed.expect("sealed");
    logins::set_secret(&mut conn, database, LoginRole::Router, &changed)
        .await
        .expect("changed");
    assert!(!keys::swap(&mut conn, stored, &anew).await.expect("asked"));
    let now = logins::by_database(&mut conn, database)
        .await
        .expect("read");
    let now = now
        .into_iter()
        .find(|login| login.role == LoginRole::Router);
    assert_eq!(now.and_then(|login| login.sealed), Some(changed));

    let other = found
        .iter()
        .find(|other| *other != stored)
        .expect("globex's");
    let anew = ring
        .route()
        .rewrap(&db.entropy, &other.place(installation), &other.sealed)
        .expect("it opens")
        .expect("by another key");
    assert!(keys::swap(&mut conn, other, &anew).await.expect("swapped"));
    assert!(!keys::swap(&mut conn, other, &anew).await.expect("once"));
    let uses = keys::uses(&mut conn).await.expect("counted");
    assert_eq!(of(&uses, Purpose::Route, "k2"), 1);
    let same = ring
        .route()
        .rewrap(&db.entropy, &other.place(installation), &anew);
    assert!(same.expect("it opens").is_none(), "nothing to do");
}

pub async fn a_rotation_is_due_by_the_age_of_the_login_and_not_again_at_once(db: Db) {
    let (old, database) = tenant(&db, "old").await;
    let (young, _) = tenant(&db, "young").await;
    let (closed, of_closed) = tenant(&db, "closed").await;
    let mut conn = db.conn().await;
    for database in [database, of_closed] {
        let sql = format!(
            "UPDATE logins SET created_at = now() - interval '10 days' WHERE database_id = '{database}'"
        );
        execute(&mut conn, &sql).await;
    }
    execute(&mut conn, "UPDATE tenants SET status = 'active'").await;
    let sql = format!("UPDATE tenants SET status = 'suspended' WHERE id = '{closed}'");
    execute(&mut conn, &sql).await;
    let due = async |days: u64| {
        let every = Duration::from_secs(days * 86_400);
        let due = logins::scheduled(&mut db.conn().await, every, 10).await;
        due.expect("read")
            .into_iter()
            .map(|tenant| tenant.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(due(10).await, [old], "by its age, less up to a tenth");
    assert_eq!(due(12).await, []);
    logins::begin_rotation(&mut conn, database)
        .await
        .expect("noted");
    assert_eq!(due(10).await, [], "begun a moment ago, whatever came of it");
    let sql = "UPDATE logins SET rotation_begun_at = now() - interval '2 hours'";
    execute(&mut conn, sql).await;
    let mut both = due(10).await;
    both.retain(|tenant| *tenant != young);
    assert_eq!(both, [old], "an hour later once more");
}

/// Tried without `idempotent_answers` in [`keys::Column`]: a key that answers are sealed with could be
/// retired.
pub async fn every_table_with_sealed_secrets_is_counted_and_sealed_anew(db: Db) {
    let mut conn = db.conn().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
           AND a.attname ~ 'key_id$' AND NOT a.attisdropped ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .expect("read");
    let mut known: Vec<_> = keys::Column::ALL
        .iter()
        .map(|column| column.as_str())
        .collect();
    known.sort_unstable();
    assert_eq!(tables, known);
}

pub async fn an_answer_of_an_idempotency_key_is_sealed_anew(db: Db) {
    let mut conn = db.conn().await;
    let operator = OperatorId::generate(&db.clock, &db.entropy);
    let new = NewOperator {
        id: operator,
        name: "somebody",
        role: Role::Owner,
        expires_at: None,
        token_hash: [7; 32],
    };
    tenantry_catalog::operators::insert(&mut conn, &new)
        .await
        .expect("inserted");
    let (key, attempt) = ("a key", uuid::Uuid::from_u128(1));
    let begun = idempotent_answers::begin(&mut conn, operator, key, [1; 32], attempt, HOUR).await;
    assert_eq!(begun.expect("begun"), Begun::Ours);
    // One that is not answered yet has no secret.
    assert_eq!(behind(&mut conn).await, []);
    let (place, secret) = (
        Place::idempotent_answer(operator, key),
        Secret::new("an answer"),
    );
    let sealed = db
        .keys
        .admin()
        .seal(&db.entropy, &place, &secret)
        .expect("sealed");
    idempotent_answers::answer(&mut conn, operator, key, attempt, &sealed)
        .await
        .expect("answered");

    let stored = behind(&mut conn).await.pop().expect("it");
    let installation = InstallationId::generate(&db.clock, &db.entropy);
    assert_eq!(stored.place(installation), place);
    let id = tenantry_vault::KeyId::parse("k2").expect("an id");
    let ring = db
        .keys
        .with_new(&db.entropy, Purpose::Admin, id, false)
        .expect("a keyring");
    let anew = ring
        .admin()
        .rewrap(&db.entropy, &place, &stored.sealed)
        .expect("it opens")
        .expect("by another key");
    assert!(
        keys::swap(&mut conn, &stored, &anew)
            .await
            .expect("swapped")
    );
    let again = idempotent_answers::begin(&mut conn, operator, key, [1; 32], attempt, HOUR).await;
    assert_eq!(again.expect("asked"), Begun::Answered([1; 32], anew));
    let uses = keys::uses(&mut conn).await.expect("counted");
    let of = |used: &&keys::Use| used.column == keys::Column::IdempotentAnswers;
    let uses: Vec<_> = uses
        .iter()
        .filter(of)
        .map(|used| used.key_id.as_str())
        .collect();
    assert_eq!(uses, ["k2"]);
}

async fn behind(conn: &mut sqlx::PgConnection) -> Vec<keys::Stored> {
    keys::behind(conn, Purpose::Admin, "k2", None, 10)
        .await
        .expect("read")
}
