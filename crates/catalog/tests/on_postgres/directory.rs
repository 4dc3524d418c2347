//! Which tenants a mail address may sign in to.

use std::time::Duration;

use tenantry_catalog::births::{self, Opening, Told};
use tenantry_catalog::directory::{self, AddressHash};
use tenantry_catalog::tenants::{self, Status};
use tenantry_types::{DatabaseId, TenantId};
use tenantry_vault::Place;

use crate::world::{Db, LONG, execute};

const ANN: AddressHash = [1; 32];
const BEN: AddressHash = [2; 32];
const KEY: &str = "k1.11111111";
const OTHER: &str = "k2.22222222";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A tenant that may be signed in to: active, with a host.
async fn tenant(db: &Db, slug: &str) -> TenantId {
    let mut conn = db.conn().await;
    let cluster = match tenantry_catalog::clusters::default(&mut conn).await {
        Ok(Some(cluster)) => cluster.id,
        _ => db.cluster("one").await,
    };
    let id = db.tenant(cluster, slug).await;
    let domain = format!(
        "INSERT INTO domains (name, tenant_id, kind, is_primary) VALUES ('{slug}', '{id}', 'subdomain', true)"
    );
    execute(&mut conn, &domain).await;
    id
}

async fn put(db: &Db, tenant: TenantId, key: &str, hashes: &[AddressHash]) {
    directory::put(&mut db.conn().await, tenant, key, hashes)
        .await
        .expect("written");
}

/// Lists a tenant as it is at its birth; twice, as a step that is repeated.
async fn open(db: &Db, tenant: TenantId, first_person: Option<AddressHash>) {
    let mut conn = db.conn().await;
    let operation = db.operation(&mut conn, Some(tenant), LONG).await;
    let operation = operation.expect("begun");
    let place = Place::operation_secret(operation, "answer");
    let secret = "told".to_owned().into();
    let answer = db.keys.admin().seal(&db.entropy, &place, &secret);
    let opening = Opening {
        tenant,
        told: Some(Told {
            name: "answer",
            answer: &answer.expect("sealed"),
            until: db.clock.now(),
            database: DatabaseId::generate(&db.clock, &db.entropy),
            directory_key: KEY,
            first_person,
            listed_again: DAY,
        }),
    };
    for _ in 0..2 {
        let opened = births::open(&mut conn, operation, 1, &opening).await;
        assert!(opened.expect("asked").is_some());
    }
}

async fn found(db: &Db, hash: &AddressHash) -> Vec<String> {
    let found = directory::tenants_of(&mut db.conn().await, hash, 8).await;
    let slugs = found.expect("read").into_iter();
    slugs
        .map(|listed| listed.slug.as_str().to_owned())
        .collect()
}

/// As if all rows had been written a while ago.
async fn age(db: &Db) {
    execute(
        &mut db.conn().await,
        "UPDATE directory SET written_at = written_at - interval '61 minutes'",
    )
    .await;
}

async fn due(db: &Db) -> Vec<directory::Due> {
    directory::claim_due(&mut db.conn().await, 10, LONG)
        .await
        .expect("read")
}

pub async fn an_address_leads_to_its_active_tenants_oldest_first(db: Db) {
    let (acme, beta) = (tenant(&db, "acme").await, tenant(&db, "beta").await);
    put(&db, beta, KEY, &[ANN, BEN, ANN]).await;
    put(&db, acme, KEY, &[ANN]).await;
    assert_eq!(found(&db, &ANN).await, ["acme", "beta"]);
    assert_eq!(found(&db, &BEN).await, ["beta"]);
    assert!(found(&db, &[3; 32]).await.is_empty());
    let mut conn = db.conn().await;
    let one = directory::tenants_of(&mut conn, &ANN, 1)
        .await
        .expect("read");
    assert_eq!((one.len(), one[0].tenant_id), (1, acme));
    assert_eq!((&*one[0].name, &*one[0].primary_domain), ("acme", "acme"));
    for status in Status::ALL
        .iter()
        .filter(|status| **status != Status::Active)
    {
        if *status == Status::Deleting {
            tenants::set_deleting(&mut conn, acme, db.clock.now(), None)
                .await
                .expect("set");
        } else {
            tenants::set_status(&mut conn, acme, *status, None)
                .await
                .expect("set");
        }
        assert_eq!(found(&db, &ANN).await, ["beta"], "{status}");
    }
    tenants::remove(&mut conn, beta).await.expect("removed");
    assert!(found(&db, &ANN).await.is_empty());
    // Of a tenant that is gone nothing is written, and that is no error.
    put(&db, beta, KEY, &[ANN]).await;
}

pub async fn a_row_that_was_just_confirmed_is_not_forgotten(db: Db) {
    let acme = tenant(&db, "acme").await;
    put(&db, acme, KEY, &[ANN, BEN]).await;
    age(&db).await;
    put(&db, acme, KEY, &[ANN]).await;
    let mut conn = db.conn().await;
    open(&db, acme, None).await;
    for hash in [&ANN, &BEN] {
        directory::forget(&mut conn, acme, hash)
            .await
            .expect("done");
    }
    assert_eq!(found(&db, &ANN).await, ["acme"]);
    assert!(found(&db, &BEN).await.is_empty());
    // It is looked at again when an hour has passed.
    execute(
        &mut conn,
        "UPDATE tenants SET directory_due_at = directory_due_at - interval '61 minutes'",
    )
    .await;
    assert_eq!(due(&db).await.len(), 1);
}

pub async fn a_tenant_is_compared_by_one_at_a_time_and_again_after_a_while(db: Db) {
    let (acme, beta) = (tenant(&db, "acme").await, tenant(&db, "beta").await);
    put(&db, acme, KEY, &[ANN]).await;
    put(&db, beta, KEY, &[BEN]).await;
    age(&db).await;
    let mut conn = db.conn().await;
    tenants::set_status(&mut conn, beta, Status::Suspended, None)
        .await
        .expect("set");
    let mine = due(&db).await;
    assert_eq!(
        (mine.len(), mine[0].tenant_id, mine[0].first),
        (1, acme, true)
    );
    assert!(due(&db).await.is_empty(), "leased");
    put(&db, acme, KEY, &[BEN]).await;
    let done = directory::set_compared(&mut conn, &mine[0], KEY, DAY).await;
    assert!(done.expect("set"));
    assert!(found(&db, &ANN).await.is_empty(), "nobody confirmed it");
    assert_eq!(found(&db, &BEN).await, ["acme"]);
    assert!(due(&db).await.is_empty());
    execute(
        &mut conn,
        "UPDATE tenants SET directory_due_at = directory_due_at - interval '1 day'",
    )
    .await;
    let again = due(&db).await;
    assert_eq!((again.len(), again[0].first), (1, false));
}

pub async fn another_key_makes_a_tenant_due(db: Db) {
    let acme = tenant(&db, "acme").await;
    let mut conn = db.conn().await;
    open(&db, acme, Some(ANN)).await;
    assert_eq!(found(&db, &ANN).await, ["acme"]);
    assert_eq!(directory::make_due(&mut conn, KEY).await.expect("asked"), 0);
    assert!(due(&db).await.is_empty());
    assert_eq!(
        directory::make_due(&mut conn, OTHER).await.expect("asked"),
        1
    );
    let mine = due(&db).await;
    assert!(mine[0].first);
    // Somebody with the former key adds a person meanwhile: it is not done then.
    put(&db, acme, KEY, &[ANN]).await;
    put(&db, acme, OTHER, &[BEN]).await;
    let done = directory::set_compared(&mut conn, &mine[0], OTHER, DAY).await;
    assert!(!done.expect("asked"));
    age(&db).await;
    put(&db, acme, OTHER, &[BEN]).await;
    let done = directory::set_compared(&mut conn, &mine[0], OTHER, DAY).await;
    assert!(done.expect("asked"));
    assert!(due(&db).await.is_empty());
    // The same afterwards.
    put(&db, acme, KEY, &[ANN]).await;
    assert!(due(&db).await[0].first);
}
