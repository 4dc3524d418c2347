//! The catalog's directory follows the people of each tenant

use std::time::Duration;

use serde_json::json;
use tenantry_testkit::{ADMIN_PASSWORD, Dev, Pg, Serve, Tenant, shared};

use crate::base::{PASSWORD, front_door, login, opened, person};
use crate::wait::until;

/// A guard against hanging, no expectation.
const BOUND: Duration = Duration::from_secs(60);

async fn rows(pg: &Pg, tenant: &Tenant) -> usize {
    let sql = format!("SELECT '' FROM directory WHERE tenant_id = '{}'", tenant.id);
    pg.texts(&pg.catalog, &sql).await.len()
}

/// As if its rows had been written a while ago.
async fn age(pg: &Pg, tenant: &Tenant) {
    let sql = format!(
        "UPDATE directory SET written_at = written_at - interval '2 hours' WHERE tenant_id = '{}'",
        tenant.id
    );
    pg.run(&pg.catalog, &sql).await;
}

/// As if the time had come to compare it with its database.
async fn make_due(pg: &Pg, tenant: &Tenant) {
    let sql = format!(
        "UPDATE tenants SET directory_due_at = now() WHERE id = '{}'",
        tenant.id
    );
    pg.run(&pg.catalog, &sql).await;
}

#[tokio::test]
async fn it_follows_who_is_added_has_another_address_or_is_removed() {
    let dev = shared();
    let acme = dev.tenant("follow").await;
    let (pg, door) = (dev.pg(), front_door(dev, 41));
    assert_eq!(rows(&pg, &acme).await, 1, "the first admin");
    let (old, new) = (
        format!("old@{}.example", acme.slug),
        format!("new@{}.example", acme.slug),
    );
    let path = person(&acme, &old, PASSWORD).await;
    assert_eq!(opened(&login(&door, &old, PASSWORD).await), [&*acme.slug]);

    age(&pg, &acme).await;
    acme.admin
        .patch(&path, json!({ "email": new }))
        .await
        .expect(200);
    assert_eq!(rows(&pg, &acme).await, 2, "the old address is gone");
    assert_eq!(opened(&login(&door, &new, PASSWORD).await), [&*acme.slug]);
    login(&door, &old, PASSWORD).await.expect(401);
    // The same address again, and no address at all, take nothing away.
    age(&pg, &acme).await;
    acme.admin
        .patch(&path, json!({ "email": new }))
        .await
        .expect(200);
    acme.admin
        .patch(&path, json!({ "name": "Kim" }))
        .await
        .expect(200);
    assert_eq!(opened(&login(&door, &new, PASSWORD).await), [&*acme.slug]);

    age(&pg, &acme).await;
    acme.admin.delete(&path).await.expect(204);
    assert_eq!(rows(&pg, &acme).await, 1);
    login(&door, &new, PASSWORD).await.expect(401);
}

#[tokio::test]
async fn who_takes_over_an_address_stays_listed() {
    let dev = shared();
    let acme = dev.tenant("over").await;
    let mail = format!("post@{}.example", acme.slug);
    let (pg, door) = (dev.pg(), front_door(dev, 42));
    let first = person(&acme, &mail, PASSWORD).await;
    age(&pg, &acme).await;
    // The next one is listed before they are there, and the first one is removed before that.
    acme.admin
        .post("/users", json!({ "email": mail }))
        .await
        .problem(409, "EMAIL_TAKEN");
    acme.admin.delete(&first).await.expect(204);
    assert_eq!(rows(&pg, &acme).await, 2, "confirmed a moment ago");
    person(&acme, &mail, PASSWORD).await;
    assert_eq!(opened(&login(&door, &mail, PASSWORD).await), [&*acme.slug]);
}

#[tokio::test]
async fn a_purge_takes_the_rows_along() {
    let dev = shared();
    let acme = dev.tenant("purged").await;
    dev.operator()
        .delete(&format!("/setup/tenants/{}?purge=true", acme.id))
        .await
        .expect(200);
    assert_eq!(rows(&dev.pg(), &acme).await, 0);
}

#[tokio::test]
async fn rows_that_are_missing_come_back_and_those_of_nobody_go() {
    let dev = shared();
    let (broken, acme) = (dev.tenant("broken").await, dev.tenant("missing").await);
    let (pg, door) = (dev.pg(), front_door(dev, 43));
    // A product may add people by itself.
    let hash = pg
        .texts(&acme.db_name, "SELECT password_hash FROM tenantry.users")
        .await;
    let mail = format!("sql@{}.example", acme.slug);
    pg.run(
        &acme.db_name,
        &format!(
            "INSERT INTO tenantry.users (id, email, password_hash)
             VALUES (gen_random_uuid(), '{mail}', '{}')",
            hash[0]
        ),
    )
    .await;
    pg.run(
        &pg.catalog,
        &format!(
            "DELETE FROM directory WHERE tenant_id = '{0}';
             INSERT INTO directory (address_hash, tenant_id, key_name, written_at)
             VALUES (sha256('nobody'), '{0}', 'k0.00000000', now() - interval '2 hours')",
            acme.id
        ),
    )
    .await;
    login(&door, &acme.email, ADMIN_PASSWORD).await.expect(401);
    // One that cannot be read comes first and stops no other.
    pg.run(&broken.db_name, "ALTER TABLE tenantry.users RENAME TO gone")
        .await;
    make_due(&pg, &broken).await;
    make_due(&pg, &acme).await;
    until(BOUND, "both are listed and nobody else", async || {
        let listed = login(&door, &mail, ADMIN_PASSWORD).await.status == 200;
        listed && rows(&pg, &acme).await == 2
    })
    .await;
    assert_eq!(
        opened(&login(&door, &acme.email, ADMIN_PASSWORD).await),
        [acme.slug.as_str()]
    );
    assert_eq!(rows(&pg, &broken).await, 1, "what was known stays");
}

#[tokio::test]
async fn another_directory_key_fills_it_anew() {
    let dev = Dev::start();
    let acme = dev.tenant("rekeyed").await;
    let pg = dev.pg();
    age(&pg, &acme).await;
    let keys = dev.variables()["TENANTRY_KEYS"].clone();
    // The same id on purpose: it is the key that counts.
    let changed: Vec<String> = keys
        .split(',')
        .map(|entry| match entry.strip_prefix("directory:") {
            Some(rest) => {
                let id = rest.split(':').next().expect("an id");
                format!("directory:{id}:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
            }
            None => entry.to_owned(),
        })
        .collect();
    assert_ne!(changed.join(","), keys);
    let serve = Serve::join(&dev, "rekeyed", &[("TENANTRY_KEYS", &changed.join(","))]);
    let base = serve.base();
    until(BOUND, "found under the new key", async || {
        login(&base, &acme.email, ADMIN_PASSWORD).await.status == 200
    })
    .await;
    until(BOUND, "the old key's row is gone", async || {
        rows(&pg, &acme).await == 1
    })
    .await;
}

#[tokio::test]
async fn nobody_is_added_whom_the_directory_could_not_list() {
    let dev = Dev::start();
    let acme = dev.tenant("strict").await;
    let pg = dev.pg();
    pg.run(&pg.catalog, "ALTER TABLE directory RENAME TO elsewhere")
        .await;
    let kim = json!({ "email": "kim@strict.example", "password": PASSWORD });
    let refused = acme.admin.post("/users", kim.clone()).await;
    assert!(refused.status >= 500, "{refused}");
    let me = format!("/users/{}", acme.user_id);
    let moved = json!({ "email": "ann@strict.example" });
    let refused = acme.admin.patch(&me, moved).await;
    assert!(refused.status >= 500, "{refused}");
    let users = acme.admin.get("/users").await.expect(200);
    assert_eq!(users["items"].as_array().map(Vec::len), Some(1), "{users}");
    assert_eq!(users["items"][0]["email"], acme.email.as_str(), "{users}");
    // What needs no new row goes on.
    acme.admin
        .patch(&me, json!({ "name": "Ann" }))
        .await
        .expect(200);
    pg.run(&pg.catalog, "ALTER TABLE elsewhere RENAME TO directory")
        .await;
    acme.admin.post("/users", kim).await.expect(201);
}
